import { isMainThread } from 'node:worker_threads';
import type { PjrtApi } from './api';
import { PjrtBuffer } from './buffer';
import { compileArguments, cudaDataFolder } from './compile-arguments';
import type { CompileOptions } from './compile-options';
import { PjrtDevice } from './device';
import type { Cluster } from './distributed/cluster';
import type { ElementType } from './element-types';
import { invalid, PjrtError } from './errors';
import { EventWatcher } from './events';
import { PjrtExecutable } from './executable';
import { closeAtExit, closed } from './exit';
import { Finalizers } from './finalizers';
import { type HostData, hostBufferArguments, READ_BY } from './host-data';
import { withFreeMemory } from './out-of-memory';
import { Runs } from './runs';

/** A running XLA: its devices, and the buffers and executables on them. Made by `createClient`. */
export class PjrtClient {
  /** `cpu`, `cuda`, … */
  readonly platformName: string;
  readonly platformVersion: string;
  /** Devices of this process. */
  readonly devices: readonly PjrtDevice[];
  /** Devices of all processes that share the client's run, process by process; those of this one alone otherwise. */
  readonly allDevices: readonly PjrtDevice[];
  readonly processIndex: number;
  /** @internal */
  readonly events: EventWatcher;
  /** @internal */
  readonly runs: Runs;
  private readonly buffers = new Set<number>();
  private readonly executables = new Set<PjrtExecutable>();
  private readonly finalizers: Finalizers | undefined;
  private readonly cudaFolder: string | undefined;
  private disposed = false;
  private pending = 0;

  /** @internal */
  constructor(
    /** @internal */ readonly api: PjrtApi,
    private readonly handle: number,
    finalizeLeaks: boolean,
    /** The processes of a distributed run. */
    readonly cluster?: Cluster,
  ) {
    this.events = new EventWatcher(api);
    this.runs = new Runs(this.events);
    const name = api.call('Client_PlatformName', 5, [handle]);
    this.platformName = api.text(name.get(3), name.get(4));
    const version = api.call('Client_PlatformVersion', 5, [handle]);
    this.platformVersion = api.text(version.get(3), version.get(4));
    this.processIndex = api.call('Client_ProcessIndex', 4, [handle]).getInt32(3);
    const list = api.call('Client_Devices', 5, [handle]);
    const pointers = new BigUint64Array(api.native.copy(list.get(3), list.get(4) * 8).buffer);
    const all = Array.from(pointers, (each) => new PjrtDevice(api, Number(each), () => this.disposed));
    this.allDevices = all.sort((a, b) => a.processIndex - b.processIndex || a.id - b.id);
    this.devices = this.allDevices.filter(({ isLocal }) => isLocal);
    this.cudaFolder = this.platformName === 'cpu' ? undefined : cudaDataFolder(api.path);
    closeAtExit(this);
    this.finalizers = finalizeLeaks ? new Finalizers((leaked) => this.release(leaked)) : undefined;
  }

  /** Version of the plugin's C API. */
  get apiVersion(): { readonly major: number; readonly minor: number } {
    return this.api.version;
  }

  /** Path of the plugin library. */
  get pluginPath(): string {
    return this.api.path;
  }

  get isDisposed(): boolean {
    return this.disposed;
  }

  /** Buffers not disposed yet (donated ones count until they are). */
  get liveBuffers(): number {
    return this.buffers.size;
  }

  /** Programs loaded and not disposed yet. */
  get liveExecutables(): number {
    return this.executables.size;
  }

  /** Compiles StableHLO (MLIR text or bytecode) on a thread of its own. */
  async compile(program: string | Uint8Array, options?: CompileOptions): Promise<PjrtExecutable> {
    const { args, keep } = this.compileArguments('PjrtClient.compile', program, options);
    const call = this.api.callOnThread('Client_Compile', 7, args, keep, 'PjrtClient.compile');
    const words = await this.guard(this.track(call));
    return this.adoptExecutable(words.get(6));
  }

  /** Compiles StableHLO, blocking. */
  compileSync(program: string | Uint8Array, options?: CompileOptions): PjrtExecutable {
    const { args, keep } = this.compileArguments('PjrtClient.compileSync', program, options);
    const words = this.guardSync(undefined, () =>
      this.api.call('Client_Compile', 7, args, 'PjrtClient.compileSync', keep),
    );
    return this.adoptExecutable(words.get(6));
  }

  /**
   * Loads what `PjrtExecutable.serialize` gave. The bytes are good for the same plugin build and device kind only;
   * the plugin trusts them, so load only what you wrote.
   */
  deserialize(bytes: Uint8Array): PjrtExecutable {
    const operation = 'PjrtClient.deserialize';
    this.checkOpen(operation);
    checkBytes(operation, bytes);
    const args = [this.handle, this.api.native.addressOf(bytes), bytes.byteLength];
    const words = this.guardSync(undefined, () =>
      this.api.call('Executable_DeserializeAndLoad', 8, args, operation, bytes),
    );
    return this.adoptExecutable(words.get(5));
  }

  /** The same on a thread of its own; leave `bytes` alone until it is done. */
  async deserializeAsync(bytes: Uint8Array): Promise<PjrtExecutable> {
    const operation = 'PjrtClient.deserializeAsync';
    this.checkOpen(operation);
    checkBytes(operation, bytes);
    const args = [this.handle, this.api.native.addressOf(bytes), bytes.byteLength];
    const call = this.api.callOnThread('Executable_DeserializeAndLoad', 8, args, bytes, operation);
    return this.adoptExecutable((await this.guard(this.track(call))).get(5));
  }

  /**
   * Puts row-major data on a device (the first by default). `data` has been read when this returns.
   * Scalars have dims `[]`; `i1` is one byte, 0 or 1.
   */
  bufferFromHost(
    data: HostData,
    elementType: ElementType,
    dims: readonly number[],
    device: PjrtDevice = this.devices[0]!,
  ): PjrtBuffer {
    const operation = 'PjrtClient.bufferFromHost';
    const { buffer, event } = this.send(operation, data, elementType, dims, device, READ_BY.callEnd);
    if (event !== 0) this.api.call('Event_Destroy', 3, [event]);
    return buffer;
  }

  /**
   * The same without a staging copy where the plugin can: `data` must not change until the promise resolves. In a worker
   * it is copied: `Worker.terminate()` frees the memory of `data` while the plugin may still read it.
   */
  async bufferFromHostAsync(
    data: HostData,
    elementType: ElementType,
    dims: readonly number[],
    device: PjrtDevice = this.devices[0]!,
  ): Promise<PjrtBuffer> {
    const operation = 'PjrtClient.bufferFromHostAsync';
    const readBy = isMainThread ? READ_BY.transferEnd : READ_BY.callEnd;
    const { buffer, event } = this.send(operation, data, elementType, dims, device, readBy);
    try {
      await this.guard(this.events.wait(event, operation, data), device);
    } catch (error) {
      buffer.dispose();
      throw error;
    }
    return buffer;
  }

  /**
   * Lets the process end although programs are being compiled or loaded, for whoever no longer waits for them: XLA cannot
   * stop. Their promises settle if it goes on.
   */
  abandonCompilations(): void {
    this.api.abandonThreads();
  }

  /** The device with this id, of any process; throws where there is none. */
  device(id: number): PjrtDevice {
    const found = this.allDevices.find((device) => device.id === id);
    if (found !== undefined) return found;
    const ids = this.allDevices.map((device) => device.id).join(', ');
    throw invalid('PjrtClient.device', `no device ${id}; there are ${ids}.`);
  }

  /**
   * Frees all buffers and executables, then the client. Throws while asynchronous work is under way. Safe to
   * repeat.
   */
  dispose(): void {
    if (this.disposed) return;
    const busy = this.pending + this.events.count;
    if (busy > 0) {
      throw new PjrtError(
        'PjrtClient.dispose',
        'FAILED_PRECONDITION',
        `${busy} asynchronous call(s) are still running: await them first.`,
      );
    }
    this.free();
    this.cluster?.leave();
    this.cluster?.close();
  }

  private free(): void {
    this.runs.drain();
    for (const executable of [...this.executables]) executable.dispose();
    for (const buffer of [...this.buffers]) this.release(buffer);
    this.disposed = true;
    closed(this);
    this.api.call('Client_Destroy', 3, [this.handle], 'PjrtClient.dispose');
  }

  /**
   * @internal The process ends: waits for what runs, then frees all. While a worker thread compiles nothing can be freed;
   * returns whether it does. One of several processes that fails waits for nothing: others may not run what would end it.
   */
  close(status: number): boolean {
    if (this.cluster && status !== 0) return true;
    for (const buffer of this.buffers) {
      try {
        const event = this.api.call('Buffer_ReadyEvent', 4, [buffer]).get(3);
        this.events.waitSync(event, 'PjrtClient.close');
      } catch {
        // Donated, or failed to compute: nothing runs for it any more.
      }
    }
    // Its processes are left when all exit listeners have run, with the status of this one.
    if (!this.disposed && this.pending === 0 && this.events.count === 0) this.free();
    return this.pending > 0;
  }

  /** @internal */
  exitNow(code: number): void {
    this.api.native.exitNow(code);
  }

  /** @internal Wraps a PJRT_Buffer that now belongs to this client. */
  adopt(handle: number, device: PjrtDevice, elementType: ElementType, dims: readonly number[]): PjrtBuffer {
    const buffer = new PjrtBuffer(this, handle, device, elementType, dims);
    this.buffers.add(handle);
    this.finalizers?.register(buffer, handle);
    return buffer;
  }

  /** @internal Frees a PJRT_Buffer, once. */
  release(handle: number, buffer?: PjrtBuffer): void {
    if (this.disposed || !this.buffers.delete(handle)) return;
    if (buffer !== undefined) this.finalizers?.unregister(buffer);
    this.api.call('Buffer_Destroy', 3, [handle], 'PjrtBuffer.dispose');
  }

  /** @internal */
  forget(executable: PjrtExecutable): void {
    this.executables.delete(executable);
  }

  /** @internal */
  checkOpen(operation: string): void {
    if (this.disposed) throw invalid(operation, 'the client has been disposed.');
  }

  /** @internal */
  checkDevice(device: PjrtDevice, operation: string): void {
    if (this.devices.includes(device)) return;
    const where = this.allDevices.includes(device)
      ? `of process ${device.processIndex}: not on this process, which is ${this.processIndex}`
      : 'not a device of this client';
    throw invalid(operation, `${device} is ${where}.`);
  }

  /** @internal Runs native work, turning out-of-memory errors into ones that say what is free. */
  guardSync<T>(device: PjrtDevice | undefined, work: () => T, late = false): T {
    try {
      return work();
    } catch (error) {
      throw this.explain(error, device, late);
    }
  }

  /** @internal The same for a promise. */
  async guard<T>(work: Promise<T>, device?: PjrtDevice, late = false): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw this.explain(error, device, late);
    }
  }

  /**
   * @internal An error with all that is known of it.
   *
   * @param late whether it may be of a program that ran earlier, whose result is used now
   */
  explain(error: unknown, device: PjrtDevice | undefined, late = false): unknown {
    if (!(error instanceof PjrtError)) return error;
    const traced = late ? this.runs.traced(error) : error;
    return withFreeMemory(traced, device ?? this.devices[0]!, this.platformName);
  }

  /** @internal The client does not end before a call has returned. */
  async track<T>(call: Promise<T>): Promise<T> {
    this.pending++;
    try {
      return await call;
    } finally {
      this.pending--;
    }
  }

  private adoptExecutable(handle: number): PjrtExecutable {
    const executable = new PjrtExecutable(this, handle);
    this.executables.add(executable);
    return executable;
  }

  private compileArguments(operation: string, program: string | Uint8Array, options?: CompileOptions) {
    this.checkOpen(operation);
    const { args, keep } = compileArguments(this.api, operation, program, options, this.cudaFolder);
    return { args: [this.handle, ...args], keep };
  }

  private send(
    operation: string,
    data: HostData,
    elementType: ElementType,
    dims: readonly number[],
    device: PjrtDevice,
    readBy: (typeof READ_BY)[keyof typeof READ_BY],
  ): { buffer: PjrtBuffer; event: number } {
    this.checkOpen(operation);
    this.checkDevice(device, operation);
    const { native } = this.api;
    const { args, keep } = hostBufferArguments(
      native,
      operation,
      data,
      { elementType, dims },
      device,
      readBy,
    );
    const words = this.guardSync(device, () =>
      this.api.call('Client_BufferFromHostBuffer', 15, [this.handle, ...args], operation, keep),
    );
    const event = words.get(13);
    return { buffer: this.adopt(words.get(14), device, elementType, Object.freeze([...dims])), event };
  }
}

function checkBytes(operation: string, bytes: Uint8Array): void {
  if (!(bytes instanceof Uint8Array)) throw invalid(operation, 'the bytes must be a Uint8Array.');
  if (bytes.byteLength === 0) throw invalid(operation, 'no bytes.');
}
