/** The small model as the trainer sees it, and how it is sampled. */
import type { Policy } from '@flow-grpo/grpo-trainer';
import { decodeImage, showo2LatentShape } from '@flow-grpo/showo2-model';
import { showo2Policy } from '@flow-grpo/showo2-model/policy';
import * as tf from '@tensorflow/tfjs-core';
import { IMAGE_SIZE, type SmallModel } from './small-model';

/** Twelve denoising steps without guidance, more of them near the noise. */
export const SAMPLING = { numSteps: 12, shift: 3 } as const;

/** @param train parts or globs of the weights that train; the diffusion head by default */
export function smallPolicy(model: Omit<SmallModel, 'kinds'>, train?: readonly string[]): Policy {
  const { params, config, vae, tokenizer } = model;
  return showo2Policy({
    params,
    config,
    tokenize: (prompt) => tokenizer.encode(prompt),
    decode: (latents) => toUnit(decodeImage(vae.params, vae.config, latents as tf.Tensor4D)),
    latentShape: showo2LatentShape(config),
    textLength: config.maxTextLength,
    ...(train ? { train } : {}),
  }) as Policy;
}

/** [−1, 1] → [0, 1], what lies outside cut off. */
export function toUnit(images: tf.Tensor): tf.Tensor4D {
  return tf.tidy(() => tf.clipByValue(tf.add(tf.mul(images, 0.5), 0.5), 0, 1) as tf.Tensor4D);
}

/** Scenes drawn on the host, [0, 1] → a tensor in [−1, 1]. */
export function toSigned(images: Float32Array, count: number): tf.Tensor4D {
  return tf.tidy(() => tf.sub(tf.mul(tf.tensor4d(images, [count, IMAGE_SIZE, IMAGE_SIZE, 3]), 2), 1));
}
