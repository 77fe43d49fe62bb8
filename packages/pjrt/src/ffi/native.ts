import type koffiModule from 'koffi';

type Koffi = typeof koffiModule;

/** A PJRT function: takes the address of its args struct, returns a PJRT_Error address or 0. */
export interface NativeFunction {
  (args: number): number;
  async(args: number, done: (error: unknown, result: number) => void): void;
}

/** The few things the rest of the package needs from the FFI library. */
export interface Native {
  /** Opens a shared library and returns the address that its GetPjrtApi returns. */
  openPlugin(path: string): number;
  functionAt(address: number): NativeFunction;
  addressOf(memory: ArrayBufferLike | ArrayBufferView): number;
  /** Copies `length` bytes out of native memory, into `to` or fresh memory. */
  copy(address: number, length: number, to?: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /** A live view of native memory, for reading right now. */
  view(address: number, length: number): ArrayBuffer;
  /** Native memory, which stays when the JavaScript environment ends, until `free`. */
  allocate(length: number): number;
  free(address: number): void;
  /** Ends the process without its exit handlers; returns where the system has no `_exit`. */
  exitNow(code: number): void;
  /** Has `exit` skip the handlers that are registered by now; does nothing where the C library has no `on_exit`. */
  skipExitHandlers(): void;
  /**
   * Calls the PJRT function at an address on a thread of its own; the returned function gives the result once it is there.
   * Undefined where the system has no such threads.
   */
  readonly startThread: ((address: number, args: number) => () => number | undefined) | undefined;
}

/**
 * Native code runs on koffi's stacks, not on the thread's own. Its default for asynchronous calls (128 KiB) is too
 * small for MLIR's recursive parser and LLVM; the memory is only reserved, pages come when touched.
 */
const STACK_BYTES = 16 * 1024 * 1024;

let native: Promise<Native> | undefined;

/** koffi closes a library whose handle is collected; XLA's threads and exit handlers must never lose their code. */
const libraries: unknown[] = [];

/** RTLD_NODELETE with RTLD_NOW, so that the end of the JavaScript environment does not unmap the library either. */
const PIN_FLAGS: Partial<Record<NodeJS.Platform, number>> = { linux: 0x1002, darwin: 0x82 };

function pin(koffi: Koffi, path: string): void {
  const flags = PIN_FLAGS[process.platform];
  if (flags === undefined) return;
  koffi.load(null).func('dlopen', 'uint64_t', ['str', 'int'])(path, flags);
}

/** Loads koffi on first use, so that importing this package loads no native code. */
export function loadNative(): Promise<Native> {
  native ??= import('koffi').then(({ default: koffi }) => wrap(koffi));
  return native;
}

function wrap(koffi: Koffi): Native {
  try {
    koffi.config({ sync_stack_size: STACK_BYTES, async_stack_size: STACK_BYTES, max_async_calls: 4096 });
  } catch {
    // The program already used koffi: its settings stand.
  }
  // Anonymous: a name may be declared once in a process, and two copies of this module may be loaded.
  const prototype = koffi.proto('uint64_t', ['uint64_t']);
  return {
    openPlugin(path) {
      const library = koffi.load(path);
      libraries.push(library);
      pin(koffi, path);
      let getApi: () => unknown;
      try {
        getApi = library.func('GetPjrtApi', 'uint64_t', []);
      } catch {
        throw new Error(`${path} is not a PJRT plugin: it does not export GetPjrtApi.`);
      }
      return Number(getApi());
    },
    functionAt: (address) => koffi.decode(BigInt(address), prototype) as NativeFunction,
    addressOf: (memory) => Number(koffi.address(memory)),
    view: (address, length) => koffi.view(BigInt(address), length),
    ...memory(koffi),
    exitNow: (code) => {
      if (process.platform !== 'win32') koffi.load(null).func('_exit', 'void', ['int'])(code);
    },
    skipExitHandlers: () => skipExitHandlers(koffi),
    startThread: threads(koffi),
  };
}

/**
 * Handlers run in the reverse order of their registration, and `_exit` takes the status that `on_exit` passes. Node's own, which
 * gives the terminal its mode back, was registered before: what it calls for that has to run first.
 */
function skipExitHandlers(koffi: Koffi): void {
  if (process.platform !== 'linux') return;
  try {
    const libc = koffi.load(null);
    const find = libc.func('dlsym', 'uint64_t', ['uint64_t', 'str']);
    const onExit = libc.func('on_exit', 'int', ['uint64_t', 'uint64_t']);
    onExit(find(0, '_exit'), 0);
    const resetTerminal = find(0, 'uv_tty_reset_mode');
    if (BigInt(resetTerminal) !== 0n) onExit(resetTerminal, 0);
  } catch {
    // Another C library.
  }
}

/**
 * Native memory, by C's own functions where they are found: koffi ends the process when a worker is terminated while koffi makes
 * an object or looks into one, which it does not where numbers alone cross.
 */
function memory(koffi: Koffi): Pick<Native, 'copy' | 'allocate' | 'free'> {
  if (process.platform === 'win32') {
    return {
      copy(address, length, to = new Uint8Array(length)) {
        if (length > 0) to.set(new Uint8Array(koffi.view(BigInt(address), length)));
        return to;
      },
      allocate: (length) => Number(koffi.alloc('uint8_t', Math.max(1, length))),
      free: (address) => koffi.free(BigInt(address)),
    };
  }
  const libc = koffi.load(null);
  const memcpy = libc.func('memcpy', 'uint64_t', ['uint64_t', 'uint64_t', 'size_t']);
  const malloc = libc.func('malloc', 'uint64_t', ['size_t']);
  const free = libc.func('free', 'void', ['uint64_t']);
  return {
    copy(address, length, to = new Uint8Array(length)) {
      if (length > 0) memcpy(Number(koffi.address(to)), address, length);
      return to;
    },
    allocate(length) {
      const address = Number(malloc(Math.max(1, length)));
      if (address === 0) throw new RangeError(`no memory for ${length} bytes`);
      return address;
    },
    free: (address) => void free(address),
  };
}

/** EBUSY of Linux. */
const BUSY = 16;
/** At least sizeof(pthread_attr_t). */
const ATTRIBUTES_BYTES = 128;

/**
 * PJRT's functions have the signature of a thread's start routine: pointer to pointer. Long calls get threads of their own,
 * since libuv's few also read files, resolve names and wait for devices.
 */
function threads(koffi: Koffi): Native['startThread'] {
  if (process.platform !== 'linux') return undefined;
  try {
    const libc = koffi.load(null);
    const initialize = libc.func('pthread_attr_init', 'int', ['void *']);
    const setStack = libc.func('pthread_attr_setstacksize', 'int', ['void *', 'size_t']);
    const create = libc.func('pthread_create', 'int', ['void *', 'void *', 'uint64_t', 'uint64_t']);
    const join = libc.func('pthread_tryjoin_np', 'int', ['uint64_t', 'void *']);
    return (address, args) => {
      const attributes = new Uint8Array(ATTRIBUTES_BYTES);
      const thread = new BigUint64Array(1);
      const result = new BigUint64Array(1);
      initialize(attributes);
      setStack(attributes, STACK_BYTES);
      const refused = create(thread, attributes, address, args);
      if (refused !== 0) throw new Error(`no thread for a call of the PJRT plugin (error ${refused})`);
      return () => {
        const state = join(thread[0], result);
        if (state === BUSY) return undefined;
        if (state !== 0) throw new Error(`a thread of the PJRT plugin is lost (error ${state})`);
        return Number(result[0]);
      };
    };
  } catch {
    return undefined; // another C library
  }
}
