import { seededNoise } from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';

/** Weights of the toy flow model: a perceptron from (x, y, features of t) to a velocity. */
export type Weights = tf.Variable[];

const width = 64;
const frequencies = 3;
const inputs = 2 + 2 * frequencies + 8;

export function createWeights(seed: number): Weights {
  const sizes = [inputs, width, width, 2];
  return sizes.slice(1).flatMap((out, layer) => {
    const from = sizes[layer]!;
    const noise = seededNoise(seed)({ step: layer, shape: [1, from * out], sampleIds: [0] });
    const scale = layer === 2 ? 0.01 : Math.sqrt(2 / from);
    const weight = tf.mul(tf.reshape(noise, [from, out]), scale);
    return [tf.variable(weight), tf.variable(tf.zeros([out]))];
  });
}

/** The velocity at x [B, 2], t [B] (0 noise, 1 data): what `sample` wants. */
export function velocityOf(weights: readonly tf.Tensor[], x: tf.Tensor, t: tf.Tensor1D): tf.Tensor2D {
  return tf.tidy(() => {
    const column = tf.reshape(t, [-1, 1]);
    const waves = Array.from({ length: frequencies }, (_, i) => tf.mul(column, Math.PI * 2 ** i));
    const folds = [1, 2].map((f) => tf.mul(x, Math.PI * f));
    let h = tf.concat(
      [x, ...waves.flatMap((w) => [tf.sin(w), tf.cos(w)]), ...folds.flatMap((f) => [tf.sin(f), tf.cos(f)])],
      1,
    ) as tf.Tensor2D;
    for (let layer = 0; layer < 3; layer++) {
      h = tf.add(tf.matMul(h, weights[2 * layer] as tf.Tensor2D), weights[2 * layer + 1]!);
      if (layer < 2) h = tf.relu(h);
    }
    return h;
  });
}
