/** Flow matching: a velocity field learns the straight lines from noise to data. */

import type { Params } from '@flow-grpo/grpo-trainer';
import { meanOverSample } from '@flow-grpo/grpo-trainer/maths';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { type FitOptions, type FitResult, fit } from './fit';

export interface FlowMatchingOptions extends FitOptions {
  /** How t is drawn before the shift: 'uniform' (default), or 'logit-normal' (arXiv 2403.03206). */
  readonly times?: 'uniform' | 'logit-normal';
  /** t' = t / (t + s − s·t); 1 by default. s > 1 trains more near the noise. */
  readonly shift?: number;
}

/** One batch: clean latents and what the velocity is conditioned on. */
export interface FlowBatch<C> {
  /** [B, …] */
  readonly latents: tf.Tensor;
  readonly condition: C;
}

/** Times [n] in (0, 1) from a key. */
export function drawTimes(
  key: tf.Tensor,
  n: number,
  { times = 'uniform', shift = 1 }: Pick<FlowMatchingOptions, 'times' | 'shift'>,
): tf.Tensor {
  const t = times === 'uniform' ? random.uniform(key, [n]) : tf.sigmoid(random.normal(key, [n]));
  return tf.div(t, tf.sub(tf.add(t, shift), tf.mul(shift, t)));
}

/**
 * mean((v(x_t, t) − (data − noise))²) with x_t = (1 − t)·noise + t·data, a scalar.
 *
 * Source: Lipman et al. (arXiv 2210.02747); rectified flow's straight paths (arXiv 2209.03003).
 */
export function flowMatchingLoss(
  velocity: (x: tf.Tensor, t: tf.Tensor) => tf.Tensor,
  latents: tf.Tensor,
  key: tf.Tensor,
  options: Pick<FlowMatchingOptions, 'times' | 'shift'> = {},
): tf.Tensor {
  const n = latents.shape[0]!;
  const t = drawTimes(random.foldIn(key, 0), n, options);
  const noise = random.normal(random.foldIn(key, 1), latents.shape);
  const column = tf.reshape(t, [n, ...latents.shape.slice(1).map(() => 1)]);
  const x = tf.add(tf.mul(tf.sub(1, column), noise), tf.mul(column, latents));
  return tf.mean(meanOverSample(tf.square(tf.sub(velocity(x, t), tf.sub(latents, noise)))));
}

/**
 * Pre-trains a velocity field: {@link flowMatchingLoss} under {@link fit}. For guidance, drop some of the text yourself:
 * give some rows of the batch the empty prompt.
 *
 * @param velocity (params, x [B, …], t [B], condition) → [B, …]
 */
export function pretrain<C>(
  params: Params,
  velocity: (params: Params, x: tf.Tensor, t: tf.Tensor, condition: C) => tf.Tensor,
  batchAt: (step: number) => FlowBatch<C> | Promise<FlowBatch<C>>,
  options: FlowMatchingOptions,
): Promise<FitResult> {
  const { times, shift } = options;
  return fit(
    params,
    (weights, batch: FlowBatch<C>, key) =>
      flowMatchingLoss((x, t) => velocity(weights, x, t, batch.condition), batch.latents, key, {
        times,
        shift,
      }),
    batchAt,
    {
      ...options,
      fingerprint: { times: times ?? 'uniform', shift: `${shift ?? 1}`, ...options.fingerprint },
    },
  );
}
