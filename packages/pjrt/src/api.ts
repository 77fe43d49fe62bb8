import { realpathSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';
import { codeName, PjrtError } from './errors';
import { FUNCTION_ORDER, type FunctionName } from './ffi/function-table';
import { loadNative, type Native, type NativeFunction } from './ffi/native';
import { Words } from './ffi/words';
import { pause } from './pause';
import { checkLibraryFile } from './plugins/library-file';

const MAJOR_VERSION = 0;
const OLDEST_MINOR = 81;
/** Byte 40 of PJRT_Api: after struct_size, extension and the version struct. */
const FIRST_FUNCTION = 40;
const SCRATCH_WORDS = 40;
/** A call on a thread of its own is seen to have ended after this many milliseconds at most. */
const THREAD_POLL_MS = 5;

const indices = new Map<string, number>(FUNCTION_ORDER.map((name, index) => [name, index]));

/** A call on a thread of its own, looked at by a timer. */
interface ThreadCall {
  timer: NodeJS.Timeout | undefined;
  isAbandoned: boolean;
  /** Settles the call if it has returned. */
  look(): void;
}

/**
 * One loaded plugin: calls by name with word arguments, errors as exceptions.
 *
 * Every PJRT function takes the address of a struct whose word 0 is its size and word 1 an extension pointer;
 * argument words follow, and outputs are written behind them in place.
 */
export class PjrtApi {
  private readonly functions = new Map<string, NativeFunction>();
  private readonly scratch: Words;
  /** Memory that running asynchronous calls read and write. */
  private readonly inFlight = new Set<unknown>();
  private readonly threadCalls = new Set<ThreadCall>();
  /** The same of a synchronous call. */
  protected kept: unknown;
  private initialized = false;

  private constructor(
    readonly native: Native,
    readonly path: string,
    readonly version: { readonly major: number; readonly minor: number },
    private readonly table: Float64Array,
  ) {
    this.scratch = this.words(SCRATCH_WORDS);
  }

  static read(native: Native, path: string, address: number): PjrtApi {
    if (address === 0) throw new Error(`${path}: GetPjrtApi returned null; the plugin cannot start here.`);
    const head = new DataView(native.copy(address, FIRST_FUNCTION).buffer);
    const size = Number(head.getBigUint64(0, true));
    const version = { major: head.getInt32(32, true), minor: head.getInt32(36, true) };
    const count = Math.min(FUNCTION_ORDER.length, Math.floor((size - FIRST_FUNCTION) / 8));
    checkVersion(path, version, count);
    const pointers = new BigUint64Array(native.copy(address + FIRST_FUNCTION, count * 8).buffer);
    return new PjrtApi(native, path, version, Float64Array.from(pointers, Number));
  }

  /** `count` zeroed words of native memory. */
  words(count: number): Words {
    return new Words(count, this.native.addressOf);
  }

  has(name: FunctionName): boolean {
    return (this.table[indices.get(name)!] ?? 0) !== 0;
  }

  function(name: FunctionName): NativeFunction {
    let found = this.functions.get(name);
    if (found === undefined) {
      const address = this.table[indices.get(name)!] ?? 0;
      if (address === 0) {
        const { major, minor } = this.version;
        throw new PjrtError(
          name,
          'UNIMPLEMENTED',
          `${this.path} (C API ${major}.${minor}) does not have it.`,
        );
      }
      found = this.native.functionAt(address);
      this.functions.set(name, found);
    }
    return found;
  }

  /**
   * Calls `name` with a struct of `size` words whose arguments start at word 2. The returned words are shared by
   * all calls: read the outputs before the next one. `keep` is what addresses among the arguments point to: a local
   * variable ends with its last use, and its memory may go while the plugin reads it.
   */
  call(
    name: FunctionName,
    size: number,
    args: readonly number[],
    operation: string = name,
    keep?: unknown,
  ): Words {
    this.kept = keep;
    const { scratch } = this;
    scratch.u32.fill(0, 0, 2 * size);
    scratch.u32[0] = size * 8;
    for (let i = 0; i < args.length; i++) scratch.set(i + 2, args[i]!);
    const error = this.function(name)(scratch.address);
    this.kept = undefined;
    if (error !== 0) throw this.takeError(error, operation);
    return scratch;
  }

  /** The arguments of a call that outlives its caller. */
  private argumentsOf(size: number, args: readonly number[]): Words {
    const words = this.words(size);
    words.set(0, size * 8);
    for (let i = 0; i < args.length; i++) words.set(i + 2, args[i]!);
    return words;
  }

  /** As `call` on a worker thread; `keep` stays reachable until the call is over. */
  async callAsync(
    name: FunctionName,
    size: number,
    args: readonly number[],
    keep: unknown,
    operation: string = name,
  ): Promise<Words> {
    const words = this.argumentsOf(size, args);
    const error = await this.handOver(this.function(name), words.address, [words, keep]);
    if (error !== 0) throw this.takeError(error, operation);
    return words;
  }

  /** Calls a function on a worker thread, whose result it gives; `keep` stays reachable until then. */
  handOver(call: NativeFunction, address: number, keep: unknown): Promise<number> {
    const held = [keep];
    this.inFlight.add(held);
    return new Promise((resolve, reject) => {
      const settle = (failure: unknown, result: number) => {
        this.inFlight.delete(held);
        if (failure) reject(failure);
        else resolve(result);
      };
      try {
        call.async(address, settle);
      } catch (failure) {
        settle(failure, 0);
      }
    });
  }

  /**
   * As `callAsync` on a thread of its own, for calls that take long: however many there are, others do not wait for them. In a
   * worker, which may end meanwhile, it is `callAsync`.
   */
  callOnThread(
    name: FunctionName,
    size: number,
    args: readonly number[],
    keep: unknown,
    operation: string = name,
  ): Promise<Words> {
    const { startThread } = this.native;
    if (!startThread || !isMainThread) return this.callAsync(name, size, args, keep, operation);
    this.function(name); // throws where the plugin lacks it
    const words = this.argumentsOf(size, args);
    const held = [words, keep];
    this.inFlight.add(held);
    return new Promise((resolve, reject) => {
      let result: () => number | undefined = () => 0;
      const settle = (work: () => void) => {
        this.inFlight.delete(held);
        this.threadCalls.delete(call);
        work();
      };
      const lookIn = (ms: number) => {
        call.timer = setTimeout(call.look, ms);
        if (call.isAbandoned) call.timer.unref();
      };
      const look = () => {
        try {
          const error = result();
          if (error === undefined) lookIn(THREAD_POLL_MS);
          else if (error === 0) settle(() => resolve(words));
          else settle(() => reject(this.takeError(error, operation)));
        } catch (failure) {
          settle(() => reject(failure));
        }
      };
      const call: ThreadCall = { timer: undefined, isAbandoned: false, look };
      this.threadCalls.add(call);
      try {
        result = startThread(this.table[indices.get(name)!]!, words.address);
        lookIn(0);
      } catch (failure) {
        settle(() => reject(failure));
      }
    });
  }

  /** Resolves when what `callOnThread` has under way, and is still wanted, has returned. */
  async threadsReturned(): Promise<void> {
    while ([...this.threadCalls].some(({ isAbandoned }) => !isAbandoned)) await delay(THREAD_POLL_MS);
  }

  /** The same, blocking. */
  waitForThreads(): void {
    const wanted = () => [...this.threadCalls].filter(({ isAbandoned }) => !isAbandoned);
    for (let calls = wanted(); calls.length > 0; calls = wanted()) {
      for (const call of calls) {
        clearTimeout(call.timer);
        call.look();
      }
      if (wanted().length > 0) pause(THREAD_POLL_MS);
    }
  }

  /**
   * Nobody waits any more for what `callOnThread` has under way: the process may end meanwhile. Ending by itself it then
   * goes through process.exit, which knows of such calls.
   */
  abandonThreads(): void {
    if (this.threadCalls.size === 0) return;
    for (const call of this.threadCalls) {
      call.isAbandoned = true;
      call.timer?.unref();
    }
    process.once('beforeExit', () => {
      if (this.threadCalls.size > 0) process.exit();
    });
  }

  /** Asynchronous calls that have not returned. */
  get pendingCalls(): number {
    return this.inFlight.size;
  }

  /** PJRT_Plugin_Initialize, once in the life of the process. */
  initialize(): void {
    if (!this.initialized) this.call('Plugin_Initialize', 2, []);
    this.initialized = true;
  }

  /** Text at an address that the plugin owns. */
  text(address: number, length: number): string {
    return length === 0 ? '' : Buffer.from(this.native.copy(address, length)).toString();
  }

  /** Reads and frees a PJRT_Error. */
  takeError(error: number, operation: string): PjrtError {
    const words = this.words(5);
    const struct = (size: number) => {
      words.set(0, size * 8);
      words.set(2, error);
      return words.address;
    };
    this.function('Error_Message')(struct(5));
    const message = this.text(words.get(3), words.get(4));
    const failed = this.function('Error_GetCode')(struct(4));
    const code = failed === 0 ? words.getInt32(3) : 2;
    this.function('Error_Destroy')(struct(3));
    return new PjrtError(operation, codeName(code), message);
  }
}

function checkVersion(path: string, version: { major: number; minor: number }, count: number): void {
  const { major, minor } = version;
  if (major !== MAJOR_VERSION) {
    throw new Error(
      `${path} speaks version ${major}.${minor} of the PJRT C API; this package speaks ${MAJOR_VERSION}.x. Install another plugin: npx pjrt install cpu`,
    );
  }
  if (minor < OLDEST_MINOR || count <= 0) {
    throw new Error(
      `${path} speaks version ${major}.${minor} of the PJRT C API; the oldest that works is 0.${OLDEST_MINOR}. Install a newer plugin: npx pjrt install cpu`,
    );
  }
}

const loaded = new Map<string, PjrtApi>();

/** XLA's C++ logging, quiet unless the user asked otherwise; getenv sees these because Node calls setenv. */
function silenceLogs(): void {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '3';
  process.env.TF_CPP_MAX_VLOG_LEVEL ??= '0';
}

/** Opens a plugin library. A path is opened once in a process. */
export async function loadPlugin(path: string): Promise<PjrtApi> {
  let real: string;
  try {
    real = realpathSync(path);
  } catch {
    throw new Error(
      `There is no PJRT plugin at ${path}. Check the path, or install one: npx pjrt install cpu`,
    );
  }
  const native = await loadNative();
  let api = loaded.get(real);
  if (api === undefined) {
    checkLibraryFile(real);
    silenceLogs();
    let address: number;
    try {
      address = native.openPlugin(real);
    } catch (error) {
      throw new Error(`Cannot load the PJRT plugin ${path}: ${(error as Error).message}`, { cause: error });
    }
    api = PjrtApi.read(native, real, address);
    loaded.set(real, api);
  }
  return api;
}
