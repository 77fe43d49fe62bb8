import * as tf from '@tensorflow/tfjs-core';
import { threefry2x32 } from './threefry';

/** A request for noise: step −1 is the initial latent, and `sampleIds` [B] number the samples of the run. */
export interface NoiseRequest {
  step: number;
  shape: readonly number[];
  sampleIds: readonly number[];
}

/**
 * Where noise comes from: given, [steps, B, ...] (steps without noise leave theirs unused); or a function, called
 * once for every step that draws, such as one over a backend's own counter-based keys.
 */
export type NoiseSource = tf.Tensor | readonly tf.Tensor[] | ((request: NoiseRequest) => tf.Tensor);

/**
 * Standard normal noise from a seed, made on the host: a number depends on the seed, the sample's id, the step
 * and its place in the sample, so it does not matter how samples are spread over batches or machines.
 * Inside a jit the numbers would be fixed when it is traced: pass noise as an argument or use keys there.
 * @param seed an integer from 0 to 2³² − 1
 */
export function seededNoise(seed: number): (request: NoiseRequest) => tf.Tensor {
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new RangeError(`the seed must be an integer from 0 to 2^32 - 1, not ${seed}`);
  }
  return ({ step, shape, sampleIds }) => {
    const batch = shape[0]!;
    if (sampleIds.length !== batch) throw new Error(`${sampleIds.length} sample ids for a batch of ${batch}`);
    const size = tf.util.sizeFromShape(shape.slice(1) as number[]);
    const values = new Float32Array(batch * size);
    sampleIds.forEach((id, row) => {
      fillNormal(values.subarray(row * size, (row + 1) * size), seed, id, step);
    });
    return tf.tensor(values, shape as number[], 'float32');
  };
}

function fillNormal(values: Float32Array, seed: number, sample: number, step: number): void {
  for (let i = 0; i < values.length; i += 2) {
    const [a, b] = threefry2x32(seed, sample, i / 2, step);
    // Box–Muller; the half keeps the logarithm finite.
    const radius = Math.sqrt(-2 * Math.log((a + 0.5) / 2 ** 32));
    const angle = (2 * Math.PI * b) / 2 ** 32;
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}

/** The part of a counter-based random module that `keyedNoise` needs; the xla backend's `random` is one. */
export interface KeyedRandom<Key> {
  foldIn(key: Key, data: number): Key;
  normal(key: Key, shape: readonly number[]): tf.Tensor;
}

/**
 * Noise from keys that live on the device, for use inside a jit: `keyedNoise(random, random.key(seed))`. Every
 * sample has its own key, so the batch split does not matter here either.
 */
export function keyedNoise<Key>(random: KeyedRandom<Key>, key: Key): (request: NoiseRequest) => tf.Tensor {
  return ({ step, shape, sampleIds }) =>
    tf.stack(
      sampleIds.map((id) => random.normal(random.foldIn(random.foldIn(key, id), step + 1), shape.slice(1))),
    );
}

/** A noise source as a function. */
export function noiseFunction(source: NoiseSource, steps: number): (request: NoiseRequest) => tf.Tensor {
  if (typeof source === 'function') return source;
  const given = source instanceof tf.Tensor ? source.shape[0] : source.length;
  if (given !== steps) throw new Error(`noise for ${given} steps where the schedule has ${steps}`);
  return ({ step }) => (source instanceof tf.Tensor ? tf.gather(source, step) : tf.clone(source[step]!));
}
