/** Where tensors go: what the trainer asks of the devices it runs on. */
import type * as tf from '@tensorflow/tfjs-core';
import type { Params } from './policy';

/** Where tensors go. On one device what places them returns what it gets; elsewhere it disposes of nothing. */
export interface Placement {
  readonly devices: number;
  /** Splits every tensor of a pytree over the devices along `axis` (0 by default). */
  shardBatch<T>(values: T, axis?: number): T;
  /** The same where the compiler would not leave rows split by itself: on a mesh of several axes. */
  keepRows<T>(values: T): T;
  /** Puts every tensor of a pytree on all devices. Inside jit it makes XLA reduce over devices. */
  replicate<T>(values: T): T;
  /** Puts trained weights, or what belongs to each of them, on all devices, or a part of each on every device. */
  parameters(params: Params): Params;
  /** Leaves a part of each of these weights on every device, where they are to be split; they stay the same tensors. */
  splitFrozen(params: Params): void;
  /** Joins batches of equally many rows, each split over the devices, without moving any; disposes of the batches. */
  join<T>(batches: readonly T[]): T;
  /** Where row `i` of all batches of `batchSize` rows lies among the `total` that `join` makes. */
  rowOf(i: number, batchSize: number, total: number): number;
  /** The rows of a batch that this process's devices hold, where several processes share it. */
  ownRows(batchSize: number): { readonly from: number; readonly count: number };
  /**
   * The given rows, int32 [b], of joined batches, split over the devices again; a constant for gradients.
   *
   * @param select what is wanted of rows [n, …], so that the rest need not move: [n, …] again
   * @param read tensors that `select` is given after the rows; it may read no others
   */
  take<T>(values: T, rows: tf.Tensor1D, select?: SelectRows, read?: readonly tf.Tensor[]): T;
  /** Set on several devices: the same where each one's share of the rows to take are rows that it holds, so that none moves. */
  readonly inPlace?: Placement;
  /**
   * Set where several devices have whole trained weights: each can then do its rows by itself, and gradients are reduced
   * over devices when an update has summed its own.
   */
  readonly perDevice?: PerDevice;
  /** Set inside of `perDevice`: which rows these are. */
  readonly part?: Part;
}

export type SelectRows = (rows: tf.Tensor, ...read: tf.Tensor[]) => tf.Tensor;

/** Where an argument or result of `PerDevice.run` lies: whole on every device, or split along its first axis. */
export type Layout = 'whole' | 'split';

/** Which rows of a pass one device has. */
export interface Part {
  /** int32 scalar: the number of the device, */
  readonly index: tf.Scalar;
  /** of so many. */
  readonly count: number;
}

/** One device's view of the placement: its rows are all that there are. */
export interface OwnPlacement extends Placement {
  readonly part: Part;
}

export interface PerDevice {
  /** Makes `fn`, written for one device, a function of whole tensors; one layout per argument and per element returned. */
  run<A extends unknown[], R extends unknown[] | []>(
    fn: (own: OwnPlacement, ...args: A) => R,
    given: readonly Layout[],
    gives: readonly Layout[],
  ): (...args: A) => R;
  /** A sum of this shape for every device, 0 so far: [devices, ...shape], [1, ...shape] on each. */
  zeros(shape: readonly number[]): tf.Tensor;
  /** The sums of all devices added up, by name, placed like `likes`. */
  total(sums: Params, likes: Params): Params;
}
