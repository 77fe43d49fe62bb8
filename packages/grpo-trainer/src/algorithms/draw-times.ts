/** At which times forward-process algorithms noise their images: drawn on the device, from a pass's key. */
import { shiftedSchedule } from '@flow-grpo/sde-sampler';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { BaseConfig } from '../config/base';
import { type DiscreteTimes, logitNormalTimes, stratifiedIndices, timeStrata } from '../losses/times';

/** Times [times, images] from a key: see `noisedPoints`. */
export type DrawTimes = (key: tf.Tensor, shape: [number, number]) => tf.Tensor;

/** The times of a rollout's steps, [numSteps], from pure noise on; data, where no step begins, is not one of them. */
export const gridOf = ({ numSteps, shift }: BaseConfig['sampling']): readonly number[] =>
  shiftedSchedule(numSteps, shift).times.slice(0, -1);

/** How many of the grid's times train: the share of its steps, rounded down. */
export const timesInGrid = ({ numSteps }: BaseConfig['sampling'], fraction: number): number =>
  Math.max(1, Math.trunc(numSteps * fraction));

/** Each image gets different times of the grid, in an order of its own. */
export const ownOrder =
  (grid: readonly number[]): DrawTimes =>
  (key, [times, images]) => {
    const { indices } = tf.topk(random.uniform(key, [images, grid.length]), times);
    return tf.gather(tf.tensor1d([...grid]), tf.transpose(indices));
  };

/** All images get the same different times, of the grid's first ones. */
export const sharedChoice =
  (grid: readonly number[]): DrawTimes =>
  (key, [times, images]) => {
    const { indices } = tf.topk(random.uniform(key, [grid.length]), times);
    return forAll(tf.gather(tf.tensor1d([...grid]), indices), images);
  };

/** All images get the same times, one from each stratum of the grid. */
export const stratified =
  (kind: DiscreteTimes, grid: readonly number[], fraction: number): DrawTimes =>
  (key, [times, images]) => {
    const strata = timeStrata(kind, grid.length, fraction, times);
    const drawn = stratifiedIndices(strata, random.uniform(key, [strata.length]));
    const first = kind === 'discrete_with_init' ? [tf.zeros([1], 'int32') as tf.Tensor1D] : [];
    return forAll(tf.gather(tf.tensor1d([...grid]), tf.concat1d([...first, drawn])), images);
  };

/** All images get the same times, stratified logit-normal ones, shifted towards noise. */
export const stratifiedLogitNormal =
  (shift: number): DrawTimes =>
  (key, [times, images]) =>
    forAll(logitNormalTimes(random.uniform(key, [times]), shift), images);

/** [T] → [T, images] */
const forAll = (times: tf.Tensor, images: number): tf.Tensor => tf.tile(tf.expandDims(times, 1), [1, images]);
