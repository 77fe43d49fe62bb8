/** A flow in the plane that the trainer can tune: an exact flow to a mixture of Gaussians, and a small network beside it. */
import type { Params, Policy } from '@flow-grpo/grpo-trainer';
import * as tf from '@tensorflow/tfjs-core';
import { EXTENT, type Mixture } from './plane';

const WIDTH = 48;
const FEATURES = 7;

/**
 * E[data − noise | x_t] of a mixture; the network adds to it, and is zero at first, so that untrained samples are exact.
 *
 * @param x [B, 2]
 * @param t [B]
 */
export function exactVelocity({ centres, std }: Mixture, x: tf.Tensor, t: tf.Tensor): tf.Tensor {
  const column = tf.reshape(t, [-1, 1]);
  const variance = tf.add(tf.square(tf.sub(1, column)), tf.square(tf.mul(column, std)));
  const means = tf.tensor2d(centres.map(([a, b]) => [a, b]));
  const offsets = tf.sub(tf.expandDims(x, 1), tf.mul(tf.reshape(t, [-1, 1, 1]), tf.expandDims(means, 0)));
  const squares = tf.sum(tf.square(offsets), 2);
  const weights = tf.softmax(tf.div(tf.neg(squares), tf.mul(2, variance)) as tf.Tensor2D);
  const gain = tf.div(tf.sub(tf.mul(column, std * std), tf.sub(1, column)), variance);
  const each = tf.add(tf.expandDims(means, 0), tf.mul(tf.expandDims(gain, 2), offsets));
  return tf.sum(tf.mul(tf.expandDims(weights, 2), each), 1);
}

/** Weights of the network: two hidden layers, drawn from a seed, and a last one of zeros. */
function networkParams(seed: number): Params {
  const layer = (inputs: number, outputs: number, k: number) =>
    tf.randomNormal([inputs, outputs], 0, Math.sqrt(1 / inputs), 'float32', seed + k);
  return {
    'first.weight': layer(FEATURES, WIDTH, 1),
    'first.bias': tf.zeros([WIDTH]),
    'second.weight': layer(WIDTH, WIDTH, 2),
    'second.bias': tf.zeros([WIDTH]),
    'last.weight': tf.zeros([WIDTH, 2]),
    'last.bias': tf.zeros([2]),
  };
}

function network(weights: Params, x: tf.Tensor, t: tf.Tensor): tf.Tensor {
  const column = tf.reshape(t, [-1, 1]);
  const features = tf.concat([x, tf.sin(tf.mul(x, 2)), tf.cos(tf.mul(x, 2)), column], 1);
  const dense = (input: tf.Tensor, name: string) =>
    tf.add(
      tf.matMul(input as tf.Tensor2D, weights[`${name}.weight`] as tf.Tensor2D),
      weights[`${name}.bias`]!,
    );
  return dense(tf.tanh(dense(tf.tanh(dense(features, 'first')), 'second')), 'last');
}

/** The policy. Its "images" are one pixel: the point's coordinates, from the plane to [0, 1]. */
export function planeFlow(mixture: Mixture, seed = 1): Policy<{ none: tf.Tensor }> {
  const params = networkParams(seed);
  return {
    params,
    trainable: Object.keys(params),
    latentShape: [2],
    encodePrompts: () => ({ none: tf.zeros([1]) }),
    velocity: ({ trained, x, t }) => ({
      velocity: tf.add(exactVelocity(mixture, x, t), network(trained, x, t)),
    }),
    decode: (latents) => {
      const shown = tf.clipByValue(tf.div(tf.add(latents, EXTENT), 2 * EXTENT), 0, 1);
      const pixels = tf.pad(shown as tf.Tensor2D, [
        [0, 0],
        [0, 1],
      ]);
      return tf.reshape(pixels, [-1, 1, 1, 3]) as tf.Tensor4D;
    },
  };
}
