/** The smallest policy there is: exact flows to Gaussians whose means train. For tests, demos and timing. */
import * as tf from '@tensorflow/tfjs-core';
import type { Params, Policy } from '../policy';

export interface GaussianFlowOptions {
  /** Prompts the policy knows; their place is their row in the table of means. */
  readonly prompts: readonly string[];
  /** Start of every mean. */
  readonly mean: readonly number[];
  /** Standard deviation of the data around its mean. */
  readonly std: number;
  /** Give features, so that updates go through `velocityFromFeatures`. */
  readonly withFeatures?: boolean;
}

/**
 * A policy whose data for prompt k is N(mean_k, std²·I) in a few dimensions. Its velocity is the exact one,
 * v = m + (t·s² − (1 − t))/((1 − t)² + t²·s²)·(x − t·m), so Euler steps keep x affine in the noise and optima
 * are known in closed form. "Images" are 1 × 1, the first three coordinates (zero beyond) as they are.
 */
export function gaussianFlow(
  options: GaussianFlowOptions,
): Policy<{ index: tf.Tensor1D }, { means: tf.Tensor }> {
  const { prompts, mean, std, withFeatures = false } = options;
  const params: Params = { 'mean.weight': tf.tensor2d(prompts.map(() => [...mean])) };
  const dimensions = mean.length;
  const velocity = (x: tf.Tensor, t: tf.Tensor, means: tf.Tensor) => {
    const column = tf.reshape(t, [-1, 1]);
    const rest = tf.sub(1, column);
    const spread = tf.add(tf.square(rest), tf.mul(std * std, tf.square(column)));
    const slope = tf.div(tf.sub(tf.mul(std * std, column), rest), spread);
    return tf.add(means, tf.mul(slope, tf.sub(x, tf.mul(column, means))));
  };
  const policy: Policy<{ index: tf.Tensor1D }, { means: tf.Tensor }> = {
    params,
    trainable: ['mean.weight'],
    latentShape: [dimensions],
    encodePrompts: (wanted) => ({
      index: tf.tensor1d(
        wanted.map((prompt) => {
          const index = prompts.indexOf(prompt);
          if (index < 0) throw new Error(`gaussianFlow does not know the prompt ${JSON.stringify(prompt)}`);
          return index;
        }),
        'int32',
      ),
    }),
    prepare: ({ trained, condition }) => ({ means: tf.gather(trained['mean.weight']!, condition.index) }),
    velocity: ({ x, t, rows, prepared }) => ({
      velocity: velocity(x, t, tf.gather(prepared.means, rows)),
      ...(withFeatures ? { features: { x } } : {}),
    }),
    decode: (latents) => {
      const shown = tf.slice(latents, [0, 0], [-1, Math.min(3, dimensions)]);
      const padded = tf.pad(shown as tf.Tensor2D, [
        [0, 0],
        [0, Math.max(0, 3 - dimensions)],
      ]);
      return tf.reshape(padded, [-1, 1, 1, 3]) as tf.Tensor4D;
    },
  };
  if (!withFeatures) return policy;
  return {
    ...policy,
    velocityFromFeatures: ({ features, t, rows, prepared }) =>
      velocity((features as { x: tf.Tensor }).x, t, tf.gather(prepared.means, rows)),
  };
}
