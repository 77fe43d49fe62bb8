import { existsSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { types } from 'node:util';
import { isMainThread } from 'node:worker_threads';
import { loadPlugin, type PjrtApi } from './api';
import { PjrtBuffer } from './buffer';
import { type CompileOptions, encodeCompileOptions } from './compile-options';
import { PjrtDevice } from './device';
import { type Cluster, type DistributedOptions, joinCluster } from './distributed/cluster';
import {
  bufferTypeCode,
  type ElementType,
  elementBytes,
  elementCount,
  formatShape,
  isElementType,
} from './element-types';
import { formatBytes, invalid, PjrtError, PjrtOutOfMemoryError, requestedBytes } from './errors';
import { EventWatcher } from './events';
import { PjrtExecutable } from './executable';
import { closeAtExit, closed } from './exit';
import { nativeText } from './ffi/text';
import { Finalizers } from './finalizers';
import { encodeNamedValues, type NamedValue } from './named-values';
import { Runs } from './runs';

export interface ClientOptions {
  /** Path of the plugin library. */
  plugin: string;
  /**
   * Options of the plugin itself. CPU: `cpu_device_count` (virtual devices). CUDA: `memory_fraction`,
   * `preallocate`, `allocator` ('bfc', 'cuda_async', 'platform'), `visible_devices`, …
   */
  options?: Readonly<Record<string, NamedValue>> | undefined;
  /**
   * Free buffers whose JavaScript object was collected without `dispose()`, and warn once. Default: when NODE_ENV
   * is `development`. It costs about a microsecond a buffer.
   */
  finalizeLeaks?: boolean | undefined;
  /** Share the devices of several processes, on one machine or many: each sees all of them, and has its own. */
  distributed?: DistributedOptions | undefined;
}

/** What crosses into PJRT: any typed array, DataView or ArrayBuffer. */
export type HostData = ArrayBufferView | ArrayBufferLike;

/** PJRT_HostBufferSemantics. */
const IMMUTABLE_ONLY_DURING_CALL = 0;
const IMMUTABLE_UNTIL_TRANSFER_COMPLETES = 1;

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
    const { args, keep } = this.compileArgs('PjrtClient.compile', program, options);
    const call = this.api.callOnThread('Client_Compile', 7, args, keep, 'PjrtClient.compile');
    const words = await this.guard(this.track(call));
    return this.adoptExecutable(words.get(6));
  }

  /** Compiles StableHLO, blocking. */
  compileSync(program: string | Uint8Array, options?: CompileOptions): PjrtExecutable {
    const { args, keep } = this.compileArgs('PjrtClient.compileSync', program, options);
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
    const { buffer, event } = this.send(
      operation,
      data,
      elementType,
      dims,
      device,
      IMMUTABLE_ONLY_DURING_CALL,
    );
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
    const semantics = isMainThread ? IMMUTABLE_UNTIL_TRANSFER_COMPLETES : IMMUTABLE_ONLY_DURING_CALL;
    const { buffer, event } = this.send(operation, data, elementType, dims, device, semantics);
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
        `${busy} asynchronous call(s) are under way: await them first.`,
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
    return this.withMemory(late ? this.runs.traced(error) : error, device);
  }

  private withMemory(error: PjrtError, device: PjrtDevice | undefined): PjrtError {
    if (error.code !== 'RESOURCE_EXHAUSTED') return error;
    const requested = requestedBytes(error.detail);
    const where = device ?? this.devices[0]!;
    const memory = this.memoryOf(where);
    const asked = requested === undefined ? '' : `asked for ${formatBytes(requested)}, `;
    const left =
      memory === undefined
        ? `the memory free on ${where} is not known to its plugin`
        : `${formatBytes(memory.free)} of ${formatBytes(memory.limit)} free on ${where}`;
    return new PjrtOutOfMemoryError(
      error.operation,
      `${error.detail} (${asked}${left})`,
      requested,
      memory?.free,
    );
  }

  /** Memory of a device by its plugin's count; CPU devices, which count nothing, have that of the machine. */
  private memoryOf(device: PjrtDevice): { free: number; limit: number } | undefined {
    const stats = device.memoryStats();
    if (stats?.bytesLimit !== undefined) {
      return { free: stats.bytesLimit - stats.bytesInUse, limit: stats.bytesLimit };
    }
    return this.platformName === 'cpu' ? { free: freemem(), limit: totalmem() } : undefined;
  }

  private async track<T>(call: Promise<T>): Promise<T> {
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

  private compileArgs(operation: string, program: string | Uint8Array, options?: CompileOptions) {
    this.checkOpen(operation);
    checkCompileOptions(operation, options);
    const { native } = this.api;
    if (typeof program !== 'string' && !(program instanceof Uint8Array)) {
      throw invalid(operation, 'the program must be text or the bytes of MLIR bytecode.');
    }
    const code = nativeText(native, program);
    if (code.length === 0) throw invalid(operation, 'the program is empty.');
    const format = nativeText(native, 'mlir');
    const encoded = Buffer.from(encodeCompileOptions(withCudaFolder(options, this.cudaFolder)));
    const description = this.api.words(6);
    const values = [48, 0, code.address, code.length, format.address, format.length];
    values.forEach((value, index) => {
      description.set(index, value);
    });
    const keep: unknown[] = [code, format, encoded, description];
    return { args: [this.handle, description.address, native.addressOf(encoded), encoded.length], keep };
  }

  private send(
    operation: string,
    data: HostData,
    elementType: ElementType,
    dims: readonly number[],
    device: PjrtDevice,
    semantics: number,
  ): { buffer: PjrtBuffer; event: number } {
    this.checkOpen(operation);
    this.checkDevice(device, operation);
    if (!ArrayBuffer.isView(data) && !types.isAnyArrayBuffer(data)) {
      throw invalid(operation, 'the data must be a typed array, a DataView or an ArrayBuffer.');
    }
    if (!isElementType(elementType)) throw invalid(operation, `unknown element type ${elementType}.`);
    if (!dims.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
      throw invalid(operation, `dims [${dims}] must be whole numbers of at least 0.`);
    }
    const size = elementCount(dims) * elementBytes(elementType);
    if (data.byteLength !== size) {
      const shape = formatShape({ elementType, dims });
      throw invalid(operation, `${shape} takes ${size} bytes, the data has ${data.byteLength}.`);
    }
    const { native } = this.api;
    const extents = BigInt64Array.from(dims.length === 0 ? [0] : dims, BigInt);
    const source = size === 0 ? extents : data;
    const args = [
      this.handle,
      native.addressOf(source),
      bufferTypeCode(elementType),
      native.addressOf(extents),
      dims.length,
      0,
      0,
      semantics,
      device.handle,
    ];
    const words = this.guardSync(device, () =>
      this.api.call('Client_BufferFromHostBuffer', 15, args, operation, [source, extents]),
    );
    const event = words.get(13);
    return { buffer: this.adopt(words.get(14), device, elementType, Object.freeze([...dims])), event };
  }
}

function checkBytes(operation: string, bytes: Uint8Array): void {
  if (!(bytes instanceof Uint8Array)) throw invalid(operation, 'the bytes must be a Uint8Array.');
  if (bytes.byteLength === 0) throw invalid(operation, 'no bytes.');
}

/** Where the wheels beside a CUDA plugin keep ptxas and libdevice; XLA looks in /usr/local/cuda of its own accord. */
function cudaDataFolder(plugin: string): string | undefined {
  const packages = join(dirname(plugin), '..', '..', 'nvidia');
  return [join(packages, 'cu13'), join(packages, 'cuda_nvcc')].find((folder) => existsSync(folder));
}

const withCudaFolder = (options: CompileOptions = {}, folder: string | undefined): CompileOptions =>
  folder === undefined
    ? options
    : { ...options, debugOptions: { xla_gpu_cuda_data_dir: folder, ...options.debugOptions } };

function checkCompileOptions(operation: string, options: CompileOptions = {}): void {
  const { numReplicas = 1, numPartitions = 1, deviceAssignment } = options;
  for (const [name, value] of Object.entries({ numReplicas, numPartitions })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw invalid(operation, `${name} must be a whole number of at least 1, got ${value}.`);
    }
  }
  if (deviceAssignment === undefined) return;
  const fits =
    deviceAssignment.length === numReplicas && deviceAssignment.every((row) => row.length === numPartitions);
  if (!fits) {
    throw invalid(
      operation,
      `deviceAssignment must be ${numReplicas} replica(s) of ${numPartitions} partition(s) each.`,
    );
  }
}

/** Starts XLA with the plugin at `options.plugin`, on a worker thread (a CUDA client takes seconds). */
export async function startClient(options: ClientOptions): Promise<PjrtClient> {
  const api = await loadPlugin(options.plugin);
  api.initialize();
  const { distributed } = options;
  const cluster = distributed && (await joinCluster(distributed));
  const own = cluster && { node_id: cluster.processId, num_nodes: cluster.numProcesses };
  const values = encodeNamedValues(api.native, { ...own, ...options.options });
  try {
    // get, put, the client that is made, try-get; each callback with an argument that none of ours needs.
    const { get = 0, put = 0, tryGet = 0 } = (await cluster?.keyValueCallbacks()) ?? {};
    const args = [values.address, values.count, get, 0, put, 0, 0, tryGet, 0];
    const words = await api.callAsync('Client_Create', 11, args, values.keep, 'createClient');
    const finalizeLeaks = options.finalizeLeaks ?? process.env.NODE_ENV === 'development';
    const client = new PjrtClient(api, words.get(8), finalizeLeaks, cluster);
    cluster?.leaveLast();
    return client;
  } catch (error) {
    cluster?.leave(1);
    cluster?.close();
    throw error;
  }
}
