/** A flow of your own, from scratch: it draws a colour for a word. */
import type { Params, Policy } from '@flow-grpo/grpo-trainer';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';

export const PROMPTS = ['warm', 'cool'];
const HIDDEN = 32;

export function initialWeights(seed = 0): Params {
  const inputs = 3 + 1 + PROMPTS.length;
  const draw = (index: number, rows: number, columns: number) =>
    tf.tidy(() =>
      tf.div(random.normal(random.foldIn(random.key(seed), index), [rows, columns]), Math.sqrt(rows)),
    );
  return {
    'in.weight': draw(0, inputs, HIDDEN),
    'in.bias': tf.zeros([HIDDEN]),
    'middle.weight': draw(1, HIDDEN, HIDDEN),
    'middle.bias': tf.zeros([HIDDEN]),
    'out.weight': draw(2, HIDDEN, 3),
    'out.bias': tf.zeros([3]),
  };
}

/** x [B, 3], t [B] from 0 (noise) to 1 (data), words [B, prompts] → dx/dt [B, 3]. */
export function velocity(params: Params, x: tf.Tensor, t: tf.Tensor, words: tf.Tensor): tf.Tensor {
  const layer = (input: tf.Tensor, name: string) =>
    tf.add(tf.matMul(input as tf.Tensor2D, params[`${name}.weight`] as tf.Tensor2D), params[`${name}.bias`]!);
  const input = tf.concat([x, tf.reshape(t, [-1, 1]), words], 1);
  return layer(tf.tanh(layer(tf.tanh(layer(input, 'in')), 'middle')), 'out');
}

/** One row per prompt, 1 at its number. */
export const wordsOf = (prompts: readonly string[]): tf.Tensor2D =>
  tf.tensor2d(prompts.map((prompt) => PROMPTS.map((known) => (known === prompt ? 1 : 0))));

/** Latents are colours from −1 to 1; images have one pixel. */
export const toImages = (latents: tf.Tensor): tf.Tensor4D =>
  tf.reshape(tf.clipByValue(tf.div(tf.add(latents, 1), 2), 0, 1), [-1, 1, 1, 3]) as tf.Tensor4D;

/** What the trainer asks of a model. */
export const colourPolicy = (params: Params): Policy<tf.Tensor2D> => ({
  params,
  trainable: Object.keys(params),
  latentShape: [3],
  encodePrompts: wordsOf,
  velocity: ({ trained, condition, rows, x, t }) => ({
    velocity: velocity(trained, x, t, tf.gather(condition, rows)),
  }),
  decode: toImages,
});
