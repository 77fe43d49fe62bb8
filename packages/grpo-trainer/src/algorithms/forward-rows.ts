/** What algorithms that noise their own images share: their options, and a pass's images spread over its times. */
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import type { NoisedPoints, Pass } from './pass';

/** Weight of a KL on the velocity; names differ upstream. */
export const klWeight = (weight: number, upstream: string) =>
  z
    .number()
    .min(0)
    .default(weight)
    .describe(`Weight of mean (v − v_reference)², about 100 times a KL of the step mean (${upstream})`);

/** Rows of `noisedPoints`: what belongs to an image, repeated for its times. */
export function spreadOverTimes(pass: Pass, points: NoisedPoints, timesPerImage: number) {
  const times = points.t.shape[0] ? points.t.shape[0] / pass.rows.shape[0]! : 0;
  const spread = (values: tf.Tensor) => tf.tile(values, [times]);
  return {
    /** Of these in the pass. */
    times,
    spread,
    advantages: spread(pass.advantages),
    /** Sum to 1 over an update. */
    weights: tf.div(spread(pass.weights), timesPerImage),
  };
}

/**
 * The group and time of each row, whole numbers [n]: rows with one number were noised at one time of one unit.
 *
 * @param size images in a unit
 */
export function groupAndTime(pass: Pass, times: number, size: number): tf.Tensor1D {
  const units = pass.rows.shape[0]! / size;
  const unitOfRow = tf.tile(tf.range(0, units), [times * size]);
  const timeOfRow = tf.reshape(tf.tile(tf.expandDims(tf.range(0, times), 1), [1, size * units]), [
    times * size * units,
  ]);
  return tf.add(unitOfRow, tf.mul(timeOfRow, units)) as tf.Tensor1D;
}
