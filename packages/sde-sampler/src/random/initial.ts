import type * as tf from '@tensorflow/tfjs-core';
import { type NoiseRequest, seededNoise } from './noise';

/** Which samples of a run a batch holds. */
export interface BatchIds {
  /** [B]; default firstSample, firstSample + 1, … */
  sampleIds?: readonly number[];
  /** Id of the first sample of the batch; default 0. */
  firstSample?: number;
  /** Samples k·groupSize … (k + 1)·groupSize − 1 start from the same latent; default 1. */
  groupSize?: number;
}

/** The samples' ids, [B] non-negative integers below 2³². */
export function sampleIdsOf(batch: number, { sampleIds, firstSample = 0 }: BatchIds = {}): number[] {
  const ids = sampleIds ? [...sampleIds] : Array.from({ length: batch }, (_, i) => firstSample + i);
  if (ids.length !== batch) throw new Error(`${ids.length} sample ids for a batch of ${batch}`);
  for (const id of ids) {
    if (!Number.isInteger(id) || id < 0 || id >= 2 ** 32)
      throw new RangeError(`sample id ${id} is not a uint32`);
  }
  return ids;
}

/** The initial latents [B, ...] of a run, from a seed or a noise function (asked for step −1). */
export function initialNoise(
  source: number | ((request: NoiseRequest) => tf.Tensor),
  shape: readonly number[],
  ids: BatchIds = {},
): tf.Tensor {
  const { groupSize = 1 } = ids;
  if (!Number.isInteger(groupSize) || groupSize < 1) {
    throw new RangeError(`groupSize must be 1 or more, not ${groupSize}`);
  }
  const groups = sampleIdsOf(shape[0]!, ids).map((id) => Math.floor(id / groupSize));
  const noise = typeof source === 'number' ? seededNoise(source) : source;
  return noise({ step: -1, shape, sampleIds: groups });
}
