import { isMainThread } from 'node:worker_threads';
import type { BufferOwner, PjrtBuffer } from './buffer';
import { CallFrame } from './call-frame';
import { type Collective, collectivesOf } from './collectives';
import type { PjrtDevice } from './device';
import { invalid, PjrtError } from './errors';
import type { FunctionName } from './ffi/function-table';
import type { NativeFunction } from './ffi/native';
import type { Words } from './ffi/words';
import { moduleBytes, type ProgramShape, programShape } from './hlo-module';
import { decodeNamedValues, type NamedValue } from './named-values';
import type { Runs } from './runs';

export interface ExecuteOptions {
  /** Arguments that must survive although the program may take their memory (`tf.aliasing_output`). */
  nonDonatable?: readonly number[];
  /** Where a program compiled `portable` runs. Default: the device of its first argument, or the first device. */
  device?: PjrtDevice;
}

/** Bytes that one run takes on a device. */
export interface CompiledMemoryStats {
  generatedCode: number;
  arguments: number;
  outputs: number;
  /** Outputs that lie in the memory of donated arguments; counted in both. */
  aliased: number;
  temporaries: number;
}

/** What a program needs of the client that it belongs to. */
export interface ExecutableOwner extends BufferOwner {
  readonly devices: readonly PjrtDevice[];
  /** @internal */
  readonly runs: Runs;
  /** @internal */
  explain(error: unknown, device: PjrtDevice | undefined, late?: boolean): unknown;
  /** All of the run's, other processes' too. */
  readonly allDevices: readonly PjrtDevice[];
  /** @internal */
  track<T>(call: Promise<T>): Promise<T>;
  /** @internal */
  forget(executable: PjrtExecutable): void;
}

/**
 * Whether a CUDA graph could not be recorded: it must not while another thread waits for the whole device, as XLA does when it
 * compiles and measures algorithms.
 */
const isBrokenCapture = (error: unknown): boolean =>
  error instanceof PjrtError && /StreamCapture|STREAM_CAPTURE|stream is capturing/.test(error.detail);

/** A run that is laid out for the plugin. */
interface Call {
  readonly frame: CallFrame;
  readonly operation: string;
  readonly devices: readonly PjrtDevice[];
  readonly args: readonly (readonly PjrtBuffer[])[];
}

/** The arguments whose memory a run must not take: those that are asked for, and what a program still reads on another thread. */
function withReadOnes(
  asked: readonly number[] | undefined,
  args: readonly (readonly PjrtBuffer[])[],
): readonly number[] | undefined {
  const isRead = (index: number) => args.some((list) => list[index]!.isRead);
  const read = args[0]?.flatMap((_, index) => (isRead(index) ? [index] : [])) ?? [];
  return read.length === 0 ? asked : [...new Set([...(asked ?? []), ...read])];
}

/** A compiled program, loaded on its devices. */
export class PjrtExecutable {
  readonly numReplicas: number;
  readonly numPartitions: number;
  /** Devices of this process that it runs on, in the order of `execute`'s argument lists; none for a portable program. */
  readonly devices: readonly PjrtDevice[];
  private readonly program: number;
  private readonly run: NativeFunction;
  private readonly portable: boolean;
  private shape: ProgramShape | undefined;
  private frame: CallFrame | undefined;
  private ownName: string | undefined;
  private handle: number;
  /** Runs that are being handed over on other threads. */
  private leaving = 0;
  /** The handle of one that was disposed of meanwhile. */
  private doomed = 0;

  /** @internal */
  constructor(
    readonly client: ExecutableOwner,
    handle: number,
  ) {
    this.handle = handle;
    const { api } = client;
    this.run = api.function('LoadedExecutable_Execute');
    this.program = api.call('LoadedExecutable_GetExecutable', 4, [handle]).get(3);
    this.numReplicas = api.call('Executable_NumReplicas', 4, [this.program]).get(3);
    this.numPartitions = api.call('Executable_NumPartitions', 4, [this.program]).get(3);
    const list = api.call('LoadedExecutable_AddressableDevices', 5, [handle]);
    const [address, count] = [list.get(3), list.get(4)];
    const pointers = count === 0 ? [] : [...new BigUint64Array(api.native.copy(address, count * 8).buffer)];
    this.devices = pointers.map((each) => client.devices.find((device) => device.handle === Number(each))!);
    this.portable = count === 0;
  }

  get isDisposed(): boolean {
    return this.handle === 0 || this.client.isDisposed;
  }

  /** Whether a run of it is under way on a device. */
  get isRunning(): boolean {
    return !this.isDisposed && (this.leaving > 0 || this.client.runs.has(this));
  }

  /** What its module is called. */
  get name(): string {
    if (this.ownName === undefined) {
      this.use('PjrtExecutable.name');
      const { api } = this.client;
      const words = api.call('Executable_Name', 5, [this.program]);
      this.ownName = api.text(words.get(3), words.get(4));
    }
    return this.ownName;
  }

  /** Shapes of arguments and results on one device, as compiled (after partitioning). */
  get signature(): ProgramShape {
    if (this.shape === undefined) {
      const { bytes, format } = this.optimizedProgram();
      this.shape = programShape(moduleBytes(bytes, format));
    }
    return this.shape;
  }

  /**
   * Runs the program: `args[i]` are the arguments of `devices[i]`. Returns at once, one list of buffers per device,
   * which hold their values later. An argument whose memory the program takes (donation) is deleted.
   *
   * @throws PjrtError for arguments that do not fit, and when the run has failed by then; one that fails later has its
   *   error where its results are read or used.
   */
  execute(args: readonly (readonly PjrtBuffer[])[], options?: ExecuteOptions): PjrtBuffer[][] {
    const call = this.prepare('PjrtExecutable.execute', args, options, this.frame);
    this.frame = call.frame;
    const run = () => this.finish(call, this.run(call.frame.address));
    try {
      return run();
    } catch (error) {
      if (!this.canRepeat(error)) throw error;
      this.client.api.waitForThreads();
      return run();
    }
  }

  /**
   * The same without blocking, for a GPU: it takes about a thousand launches ahead, and handing over a longer program holds up
   * the thread until the program is nearly through. Arguments may be disposed of at once. In a worker, which may end meanwhile,
   * it is handed over as by `execute`.
   *
   * @throws PjrtError also where the client has several devices: programs that exchange values must begin in one order on all.
   */
  async executeAsync(
    args: readonly (readonly PjrtBuffer[])[],
    options?: ExecuteOptions,
  ): Promise<PjrtBuffer[][]> {
    const operation = 'PjrtExecutable.executeAsync';
    const { client } = this;
    if (client.allDevices.length > 1) {
      throw invalid(operation, `the client has ${client.allDevices.length} devices; use execute.`);
    }
    if (!isMainThread) return this.execute(args, options);
    return client.track(this.handOver(this.prepare(operation, args, options)));
  }

  private async handOver(call: Call): Promise<PjrtBuffer[][]> {
    const { api } = this.client;
    const held = call.args.flat();
    for (const buffer of held) buffer.keep();
    this.leaving++;
    void this.name; // while it can be asked
    const run = async () => this.finish(call, await api.handOver(this.run, call.frame.address, call));
    try {
      return await run().catch(async (error: unknown) => {
        if (!this.canRepeat(error)) throw error;
        await api.threadsReturned();
        return run();
      });
    } finally {
      for (const buffer of held) buffer.letGo();
      this.leaving--;
      if (this.leaving === 0 && this.doomed !== 0) this.unload(this.doomed);
    }
  }

  /** Checks a call, and lays it out in a frame. */
  private prepare(
    operation: string,
    args: readonly (readonly PjrtBuffer[])[],
    options: ExecuteOptions | undefined,
    frame?: CallFrame,
  ): Call {
    const handle = this.use(operation);
    const devices = this.placement(args, options?.device);
    if (args.length !== devices.length) {
      throw invalid(
        operation,
        `takes ${devices.length} argument list(s), one per device; got ${args.length}.`,
      );
    }
    const used = frame ?? new CallFrame(this.client.api, handle, devices.length, this.signature);
    used.setArguments(operation, devices, args);
    const asked = options?.nonDonatable;
    const kept = this.client.api.pendingCalls > 0 ? withReadOnes(asked, args) : asked;
    used.setOptions(operation, this.portable ? devices[0]!.handle : 0, kept);
    return { frame: used, operation, devices, args };
  }

  /**
   * Whether a run that ended with this error can be repeated: a compilation broke into the recording of its CUDA graph. Launches
   * before that may have run. So a program that writes to memory of its arguments is not repeated, and none that exchanges values
   * with other devices, which wait for its first run's.
   */
  private canRepeat(error: unknown): boolean {
    if (!isBrokenCapture(error) || this.isDisposed || this.client.allDevices.length > 1) return false;
    return this.memoryStats()?.aliased === 0;
  }

  /** The results of a run that was handed over, or why it was not. */
  private finish({ frame, operation, devices, args }: Call, error: number): PjrtBuffer[][] {
    const { client } = this;
    const { results } = this.signature;
    if (error !== 0) {
      const refused = client.api.takeError(error, operation);
      throw this.donatedArgument(refused, args) ?? client.explain(refused, devices[0]);
    }
    const outputs = devices.map((device, i) =>
      results.map((result, k) => {
        const { elementType, dims } = result!;
        return client.adopt(frame.output(i, k), device, elementType, dims);
      }),
    );
    let failure: PjrtError | undefined;
    for (const event of frame.events()) failure = client.runs.add(event, this.name, this) ?? failure;
    if (failure !== undefined) {
      for (const row of outputs) for (const buffer of row) buffer.dispose();
      const inherited = args.some((list) => list.some((buffer) => buffer.holdsError()));
      throw this.donatedArgument(failure, args) ?? client.explain(failure, devices[0], inherited);
    }
    return outputs;
  }

  /** The executable's own bytes, for `PjrtClient.deserialize` with the same plugin and kind of device. */
  serialize(): Uint8Array<ArrayBuffer> {
    const operation = 'PjrtExecutable.serialize';
    this.use(operation);
    const { api } = this.client;
    const words = api.call('Executable_Serialize', 7, [this.program], operation);
    const [address, length, owner, deleter] = [words.get(3), words.get(4), words.get(5), words.get(6)];
    try {
      return api.native.copy(address, length);
    } finally {
      if (deleter !== 0) api.native.functionAt(deleter)(owner);
    }
  }

  /** XLA's own estimates: `flops`, `bytes accessed`, `transcendentals`, … Empty where the plugin has none. */
  costAnalysis(): Record<string, number> {
    const { api } = this.client;
    this.use('PjrtExecutable.costAnalysis');
    const words = this.optional('Executable_GetCostAnalysis', 5);
    if (words === undefined) return {};
    const values: Record<string, NamedValue> = decodeNamedValues(api.native, words.get(4), words.get(3));
    return Object.fromEntries(
      Object.entries(values).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
    );
  }

  /** Memory of one run; undefined where the plugin does not say. */
  memoryStats(): CompiledMemoryStats | undefined {
    this.use('PjrtExecutable.memoryStats');
    const words = this.optional('Executable_GetCompiledMemoryStats', 16);
    if (words === undefined) return undefined;
    return {
      generatedCode: words.getInt64(3),
      arguments: words.getInt64(4),
      outputs: words.getInt64(5),
      aliased: words.getInt64(6),
      temporaries: words.getInt64(7),
    };
  }

  /** The module after XLA's passes, serialized: `format` is `hlo` or `hlo_with_config` (xla/service/hlo.proto). */
  optimizedProgram(): { format: string; bytes: Uint8Array<ArrayBuffer> } {
    const operation = 'PjrtExecutable.optimizedProgram';
    this.use(operation);
    const { api } = this.client;
    const description = api.words(6);
    description.set(0, 48);
    const read = () =>
      api.call('Executable_OptimizedProgram', 4, [this.program, description.address], operation);
    read();
    const bytes = new Uint8Array(new ArrayBuffer(description.get(3)));
    if (bytes.length > 0) {
      description.set(2, api.native.addressOf(bytes));
      read();
    }
    return { format: api.text(description.get(4), description.get(5)), bytes };
  }

  /** What one run exchanges between devices, as XLA wrote it into the program. */
  collectives(): Collective[] {
    const { bytes, format } = this.optimizedProgram();
    return collectivesOf(moduleBytes(bytes, format), this.numPartitions);
  }

  /** A hash that is equal for equal programs; undefined where the plugin has none. */
  fingerprint(): string | undefined {
    this.use('PjrtExecutable.fingerprint');
    const words = this.optional('Executable_Fingerprint', 5);
    return words === undefined
      ? undefined
      : Buffer.from(this.client.api.native.copy(words.get(3), words.get(4))).toString('latin1');
  }

  /** Unloads the program; runs under way end first. Safe to repeat. */
  dispose(): void {
    const { handle } = this;
    if (handle === 0) return;
    const { client } = this;
    this.handle = 0;
    this.frame = undefined;
    if (client.isDisposed) return;
    client.forget(this);
    if (this.leaving > 0) this.doomed = handle;
    else this.unload(handle);
  }

  private unload(handle: number): void {
    const { api } = this.client;
    this.doomed = 0;
    api.call('Executable_Destroy', 3, [this.program], 'PjrtExecutable.dispose');
    api.call('LoadedExecutable_Destroy', 3, [handle], 'PjrtExecutable.dispose');
  }

  private use(operation: string): number {
    if (this.isDisposed) throw invalid(operation, 'the executable has been disposed.');
    return this.handle;
  }

  private optional(name: FunctionName, size: number): Words | undefined {
    try {
      return this.client.api.call(name, size, [this.program]);
    } catch (error) {
      if (error instanceof PjrtError) return undefined;
      throw error;
    }
  }

  private placement(args: readonly (readonly PjrtBuffer[])[], device: PjrtDevice | undefined) {
    if (!this.portable) {
      if (device !== undefined && (this.devices.length !== 1 || this.devices[0] !== device)) {
        throw invalid('PjrtExecutable.execute', `only a program compiled portable can be sent to ${device}.`);
      }
      return this.devices;
    }
    const target = device ?? args[0]?.[0]?.device ?? this.client.devices[0]!;
    this.client.checkDevice(target, 'PjrtExecutable.execute');
    return [target];
  }

  /** Why a run failed, if it was for an argument whose memory an earlier one took; plugins say so in many ways. */
  private donatedArgument(
    { code, operation }: PjrtError,
    args: readonly (readonly PjrtBuffer[])[],
  ): PjrtError | undefined {
    if (code !== 'INVALID_ARGUMENT') return undefined;
    for (const list of args) {
      const index = list.findIndex((buffer) => buffer.isTaken);
      if (index >= 0) return invalid(operation, `argument ${index}, ${list[index]}, was deleted or donated.`);
    }
    return undefined;
  }
}
