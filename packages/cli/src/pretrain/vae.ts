/** A small variational autoencoder: reconstructs images from a few numbers per position. */

import type { Params } from '@flow-grpo/grpo-trainer';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { type FitOptions, type FitResult, fit } from './fit';

export interface VaeFunctions {
  /** Images [B, H, W, 3] → mean and log-variance of the latents, [B, h, w, C] each. */
  encode(params: Params, images: tf.Tensor): { mean: tf.Tensor; logVariance: tf.Tensor };
  /** Latents → images in the range of the input. */
  decode(params: Params, latents: tf.Tensor): tf.Tensor;
}

export interface VaeOptions extends FitOptions {
  /** Weight of mean |error|; 1 by default. */
  readonly l1?: number;
  /** Weight of mean error²; 1 by default. */
  readonly l2?: number;
  /** Weight of the absolute error of horizontal and vertical differences, which keeps outlines sharp; 0.5. */
  readonly edges?: number;
  /** Weight of the KL to a standard normal, averaged over latents; 1e-4 by default. */
  readonly kl?: number;
}

/** The loss of one batch, a scalar; latents are sampled with noise of the key. */
export function vaeLoss(
  { encode, decode }: VaeFunctions,
  params: Params,
  images: tf.Tensor,
  key: tf.Tensor,
  { l1 = 1, l2 = 1, edges = 0.5, kl = 1e-4 }: Pick<VaeOptions, 'l1' | 'l2' | 'edges' | 'kl'> = {},
): tf.Tensor {
  const { mean, logVariance } = encode(params, images);
  const noise = random.normal(key, mean.shape);
  const latents = tf.add(mean, tf.mul(tf.exp(tf.mul(0.5, logVariance)), noise));
  const error = tf.sub(decode(params, latents), images);
  const divergence = tf.mul(
    0.5,
    tf.mean(tf.sub(tf.sub(tf.add(tf.square(mean), tf.exp(logVariance)), 1), logVariance)),
  );
  const parts = [
    tf.mul(l1, tf.mean(tf.abs(error))),
    tf.mul(l2, tf.mean(tf.square(error))),
    tf.mul(edges, tf.add(meanStep(error, 1), meanStep(error, 2))),
    tf.mul(kl, divergence),
  ];
  return parts.reduce((sum, part) => tf.add(sum, part));
}

/** Trains encoder and decoder together: {@link vaeLoss} under {@link fit}. */
export function trainVae(
  params: Params,
  functions: VaeFunctions,
  imagesAt: (step: number) => tf.Tensor | Promise<tf.Tensor>,
  options: VaeOptions,
): Promise<FitResult> {
  return fit(
    params,
    (weights, images: tf.Tensor, key) => vaeLoss(functions, weights, images, key, options),
    imagesAt,
    { ...options, fingerprint: { ...lossOptions(options), ...options.fingerprint } },
  );
}

/** What of the options defines the loss, as text. */
const lossOptions = ({ l1, l2, edges, kl }: VaeOptions) => ({ loss: JSON.stringify({ l1, l2, edges, kl }) });

/** Mean absolute difference of neighbours along an axis. */
function meanStep(x: tf.Tensor, axis: number): tf.Tensor {
  const size = x.shape[axis]!;
  const part = (from: number) => {
    const begin = x.shape.map((_, i) => (i === axis ? from : 0));
    return tf.slice(
      x,
      begin,
      x.shape.map((length, i) => (i === axis ? size - 1 : length)),
    );
  };
  return tf.mean(tf.abs(tf.sub(part(1), part(0))));
}
