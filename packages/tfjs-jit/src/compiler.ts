/**
 * The seam between these functions and a backend that compiles. The backend's instance carries a `Compiler` under a
 * symbol of the global registry, and it is looked up at every call: several copies of this package, and imports in any
 * order, meet in the same object.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Mesh, PartitionSpec, Sharding } from './devices/partition';

/** The key under which a `tf.KernelBackend` carries its `Compiler`. */
export const COMPILER = Symbol.for('@flow-grpo/tfjs-jit/compiler');

/** How the elements of a float32 tensor are stored. */
export type FloatStorage = 'float32' | 'bfloat16' | 'float16';

/** What a compiled function needs. Bytes are those of one device, by the compiler's account. */
export interface Cost {
  /**
   * Floating-point operations of one call, all devices together, counted in the program as it was traced, by XLA's rules:
   * one per element, two per multiply-add. The steps of `scan` are multiplied and fused attention is known. What `scan`
   * and `checkpoint` compute again counts again; the body of `whileLoop` counts once; what a mask hides counts.
   */
  flops: number;
  /** The compiler's own count after its optimizations, on one device, loops once; undefined where it does not count. */
  xlaFlops: number | undefined;
  /** Bytes read and written by one call, likewise. */
  bytesAccessed: number | undefined;
  argumentBytes: number;
  outputBytes: number;
  /** Outputs that lie in donated arguments. */
  aliasedBytes: number;
  temporaryBytes: number;
  /** What one call exchanges between devices; nothing on one device. */
  collectives: readonly Collective[];
}

/** An exchange between devices, as the compiler wrote it into a program. */
export interface Collective {
  /** `all-reduce`, `all-gather`, `reduce-scatter`, `all-to-all` or `collective-permute`. */
  readonly operation: string;
  /** Of the whole that a group of devices exchanges: what is summed, or all parts together. */
  readonly bytes: number;
  /** Devices by their number in the mesh: each group exchanges for itself. Of a permutation, pairs from, to. */
  readonly groups: readonly (readonly number[])[];
  /** How often a call does it; once where the compiler does not know how often a loop runs. */
  readonly times: number;
}

/** A traced function: its text (StableHLO on XLA), the operations in it, and its cost, for which it is compiled. */
export interface Lowered {
  readonly text: string;
  /** As in {@link Cost}, without compiling. */
  readonly flops: number;
  cost(): Cost;
}

/** What a device is, and how full its memory is. */
export interface DeviceInfo {
  /** Model of the hardware: `cpu`, `NVIDIA H200`, … */
  readonly kind: string;
  /** `cpu`, `cuda`, … */
  readonly platform: string;
  /** Bytes, as the device's allocator counts them; undefined where it does not (CPUs). */
  readonly bytesInUse: number | undefined;
  readonly peakBytesInUse: number | undefined;
  readonly bytesLimit: number | undefined;
  /** The process that has it, of a run of several; bytes of other processes' devices are undefined. */
  readonly process: number;
  /** Whether that is this process. */
  readonly isLocal: boolean;
}

/** The part of a tensor that one device holds. */
export interface DeviceShard {
  /** Number of the device in the mesh. */
  readonly device: number;
  /** Where the part begins in the whole tensor. */
  readonly start: readonly number[];
  readonly shape: readonly number[];
  /** Row-major bytes as stored: two per element for bfloat16 and float16. */
  readonly bytes: Uint8Array;
}

/** A function of pytrees, compiled for each signature it is called with. */
export interface CompiledFunction {
  /** Runs outside of any trace, and unrecorded. */
  call(args: readonly unknown[]): unknown;
  /** The same, without holding up the thread while the program is handed over. */
  callAsync(args: readonly unknown[]): Promise<unknown>;
  /** Traces and compiles without blocking the event loop. */
  prepare(args: readonly unknown[]): Promise<void>;
  lower(args: readonly unknown[]): Lowered;
}

/** A program that planned work asked for. */
export interface PlannedProgram {
  readonly name: string;
  /** How often it would have run. */
  readonly calls: number;
  /** What one call needs; to be asked once it is compiled. */
  cost(): Cost;
}

/** What `f` gave, and its programs. */
export interface PlannedWork<T> {
  readonly value: T;
  readonly ready: Promise<readonly PlannedProgram[]>;
  /** No more of them are begun, and the process may end although some are being compiled. */
  abandon(): void;
}

/** What a backend that compiles provides. Arguments were checked; tensors are on that backend, which is the active one. */
export interface Compiler {
  /** How to start it with `count` devices, for error messages. */
  moreDevices(count: number): string;
  compile(
    fn: (...args: unknown[]) => unknown,
    options: { readonly name: string; readonly donate: ReadonlySet<number> },
  ): CompiledFunction;
  /** Runs `f` with nothing computed: programs are compiled in the background, results have no values. */
  planWork<T>(f: () => T): PlannedWork<T>;
  /** While work is planned: a tensor that has no values. */
  placeholder(shape: readonly number[], dtype: tf.DataType, storage: FloatStorage | undefined): tf.Tensor;
  observeCompilations(listener: (names: readonly string[]) => void): () => void;
  /** Seconds that calls have waited for programs so far. */
  compileSeconds(): number;
  /** Whether a function is being traced now. The four below are called only then. */
  isTracing(): boolean;
  scan<C, X, Y>(
    f: (carry: C, x: X) => [C, Y],
    carry: C,
    xs: X,
    length: number,
    keep?: { readonly first: tf.Tensor; readonly count: number },
  ): [C, Y];
  whileLoop<S>(cond: (state: S) => tf.Tensor, body: (state: S) => S, state: S): S;
  /** Gradients are being recorded. */
  checkpoint<A extends unknown[], R>(fn: (...args: A) => R, args: A): R;
  /**
   * Runs `local` on every device's shards of `tensors`, laid out by `ins`, as one operation of the program. `specs`, which
   * is asked once `local` ran, says how its results are parts of whole tensors.
   *
   * @param captures whether `local` may read tensors from outside of the trace: the same on every device
   */
  perDevice(
    mesh: Mesh,
    tensors: readonly tf.Tensor[],
    ins: readonly Sharding[],
    specs: () => readonly PartitionSpec[],
    local: (shards: readonly tf.Tensor[]) => readonly tf.Tensor[],
    captures: boolean,
  ): tf.Tensor[];
  /** The mesh of the `perDevice` that is being traced, if any. The collectives below are called only inside. */
  perDeviceMesh(): Mesh | undefined;
  allReduce(x: tf.Tensor, axes: readonly string[], operation: 'sum' | 'max' | 'min'): tf.Tensor;
  allGather(x: tf.Tensor, axes: readonly string[], axis: number): tf.Tensor;
  /** Sums over devices; each keeps its part along a tensor axis. */
  reduceScatter(x: tf.Tensor, axes: readonly string[], axis: number): tf.Tensor;
  axisIndex(axis: string): tf.Scalar;

  /** The tensor with this layout: a copy outside of a trace, a constraint in the program inside. */
  place(x: tf.Tensor, layout: Sharding): tf.Tensor;
  /** Moves the values of a tensor to this layout: it stays the same tensor, and programs that read it are traced anew. */
  shardInPlace(x: tf.Tensor, layout: Sharding): void;
  /** How a tensor lies over devices, where that is known. */
  layoutOf(x: tf.Tensor): Sharding | undefined;
  /** What this process's devices hold of a tensor, as a tensor over these alone; the given one is gone. */
  takeLocal(x: tf.Tensor): tf.Tensor;
  readShards(x: tf.Tensor): Promise<DeviceShard[]>;
  deviceInfo(): DeviceInfo[];

  storageOf(x: tf.Tensor): FloatStorage;
  /** The number of bytes fits. */
  fromBytes(bytes: Uint8Array, shape: readonly number[], storage: FloatStorage): tf.Tensor;
  toBytes(x: tf.Tensor): Promise<Uint8Array>;
  upload(x: tf.Tensor): Promise<void>;
  isOutOfMemory(error: unknown): boolean;
}

/** The compiler of the active backend; undefined where that has none. */
export function activeCompiler(): Compiler | undefined {
  // Not tf.backend(): that starts a backend where none is active yet.
  const { backendInstance } = tf.engine() as unknown as { backendInstance?: { [COMPILER]?: Compiler } };
  return backendInstance?.[COMPILER];
}

/** @throws when the active backend does not compile: `what` completes "… needs a backend that compiles". */
export function requireCompiler(what: string): Compiler {
  const compiler = activeCompiler();
  if (compiler) return compiler;
  throw new Error(
    `${what} a backend that compiles, and ${tf.getBackend() ?? 'none'} is active: await startXla() of @flow-grpo/tfjs-backend-xla first`,
  );
}

/** Whether the active backend compiles: `jit` then makes programs, and storage types and meshes are real. */
export const hasCompiler = (): boolean => activeCompiler() !== undefined;
