/** Online Diffusion-DPO on the best and the worst image of each prompt. */
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { detach } from '../losses/rows';
import { bestAgainstWorst } from '../maths/advantages';
import { meanOverSample } from '../maths/loss';
import { advantagesWithin, needsSeveralImages } from './advantage-options';
import { defineAlgorithm, type Loss } from './algorithm';
import { timesPerImage } from './flow-matching';
import { noisedPoints, type Pass } from './pass';
import { bestAndWorst } from './units';

const options = z.strictObject({
  beta: z.number().positive().default(100).describe('Strength of the preference (train.beta)'),
  timesPerImage,
});

export const dpo = defineAlgorithm({
  name: 'dpo',
  summary: 'Online DPO: prefers the best image of each prompt to its worst',
  source: 'Wallace et al. (arXiv 2311.12908); flow_grpo/scripts/train_sd3_dpo.py',
  options,
  check: (_options, { sampling }) => needsSeveralImages(sampling),
  configure: (own, { config }) => ({
    rollout: { sampler: 'sde', keep: 'latents' },
    copies: { reference: { moves: 'never' } },
    pointsPerImage: own.timesPerImage,
    units: bestAndWorst(config.sampling.promptsPerEpoch),
    advantages: (scored) => advantagesWithin(scored.prompts, scored, { compare: bestAgainstWorst }),
    metrics: { implicitAccuracy: 'mean', preferredError: 'mean', rejectedError: 'mean' },
    loss: (pass) => preferenceLoss(pass, own),
  }),
});

/**
 * −log σ(−β/2 · ((e_w − e_w,ref) − (e_l − e_l,ref))), e the velocity's mean squared error; both images get one noise and
 * one time.
 */
function preferenceLoss(pass: Pass, { beta, timesPerImage }: z.output<typeof options>): Loss {
  const pairs = pass.rows.shape[0]! / 2;
  const points = noisedPoints(pass, { timesPerImage, sharing: 2 });
  const times = points.t.shape[0]! / (2 * pairs);
  const errors = (weights: string) => {
    const error = meanOverSample(tf.square(tf.sub(pass.velocity(weights, points), points.target)));
    return tf.reshape(error, [times, 2, pairs]);
  };
  const side = (error: tf.Tensor, i: number) =>
    tf.reshape(tf.slice(error, [0, i, 0], [times, 1, pairs]), [times, pairs]);
  const own = errors('trained');
  const gap = tf.sub(own, errors('reference'));
  const inside = tf.mul(-0.5 * beta, tf.sub(side(gap, 0), side(gap, 1)));
  const weights = tf.mul(2 / timesPerImage, tf.slice(pass.weights, [0], [pairs]));
  const total = (value: tf.Tensor) => tf.sum(tf.mul(weights, value));
  return {
    loss: total(tf.softplus(tf.neg(inside))),
    metrics: {
      implicitAccuracy: total(tf.cast(tf.greater(detach(inside), 0), 'float32')),
      preferredError: total(detach(side(own, 0))),
      rejectedError: total(detach(side(own, 1))),
    },
  };
}
