/** What the flow learns to draw: warm and cool colours, of all brightnesses. */
import { randomAt } from '@flow-grpo/grpo-trainer/maths';
import * as tf from '@tensorflow/tfjs-core';
import { PROMPTS, wordsOf } from './model';

/** Colours of `count` pictures and their words; the same ones for the same step. */
export function batchAt(step: number, count = 128): { latents: tf.Tensor2D; condition: tf.Tensor2D } {
  const random = randomAt(0xc01, step);
  const words = Array.from({ length: count }, (_, i) => PROMPTS[i % PROMPTS.length]!);
  const colours = words.map((word) => {
    const [strong, middle, weak] = [0.4 + 0.6 * random(), 0.2 + 0.4 * random(), 0.3 * random()];
    const rgb = word === 'warm' ? [strong, middle, weak] : [weak, middle, strong];
    return rgb.map((value) => 2 * value - 1);
  });
  return { latents: tf.tensor2d(colours), condition: wordsOf(words) };
}

/** The reward: how bright an image [B, H, W, 3] is, from 0 to 1. */
export const brightness = (images: tf.Tensor4D) => tf.mean(images, [1, 2, 3]).data();
