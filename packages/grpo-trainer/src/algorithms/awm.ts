/** Advantage weighted matching. */
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { awmLoss } from '../losses/awm';
import { constantDecay, decayAt, linearDecay } from '../losses/decay';
import { detach } from '../losses/rows';
import {
  advantageOptions,
  advantagesWithin,
  advClipMax,
  groupedBy,
  needsSeveralImages,
} from './advantage-options';
import { defineAlgorithm, type Loss } from './algorithm';
import { type DrawTimes, gridOf, stratified, stratifiedLogitNormal } from './draw-times';
import { klWeight, spreadOverTimes } from './forward-rows';
import { noisedPoints, type Pass } from './pass';
import { allImages } from './units';

const options = z.strictObject({
  weighting: z
    .enum(['Uniform', 't', 't**2', 'huber', 'ghuber'])
    .default('ghuber')
    .describe('How errors of the velocity become log-probabilities (train.weighting)'),
  ghuberPower: z.number().positive().default(0.25).describe("ghuber's exponent (train.ghuber_power)"),
  clipRange: z.number().positive().default(1).describe('Clip range of the ratio (train.clip_range)'),
  lossType: z
    .enum(['exp_first', 'sum_first'])
    .default('exp_first')
    .describe('One ratio for each time, or one for each image (train.loss_type)'),
  advClipMax,
  advantageMax: z
    .number()
    .positive()
    .nullable()
    .default(1)
    .describe('Advantages are scaled to ± this; null leaves them clipped (train.advantage_max)'),
  beta: klWeight(0.003, 'train.beta'),
  emaBeta: z
    .number()
    .min(0)
    .default(1)
    .describe('Weight of mean (v − v_slow)², v_slow of slowly following weights (train.ema_beta)'),
  klWeighting: z
    .enum(['Uniform', 'ELBO'])
    .default('Uniform')
    .describe('How the two penalties are weighted over times (train.kl_weight)'),
  klEmaDecay: z
    .number()
    .min(0)
    .max(1)
    .default(0.3)
    .describe('Share that the slow weights keep after an epoch (train.kl_ema_decay)'),
  klEmaDecayType: z
    .enum(['linear', 'constant'])
    .default('linear')
    .describe('Whether that share rises by 0.001 with each update (train.kl_ema_decay_type)'),
  timesPerImage: z.int().min(1).default(6).describe('Times drawn per image (train.train_timesteps)'),
  timeType: z
    .enum(['discrete', 'discrete_wo_init', 'discrete_with_init', 'logit_normal'])
    .default('discrete_wo_init')
    .describe(
      "Times of the rollout's grid, without or always with pure noise, or logit-normal ones (time_type)",
    ),
  timestepFraction: z
    .number()
    .gt(0)
    .max(1)
    .default(0.9)
    .describe('Share of the grid that times are drawn from (train.timestep_fraction)'),
  timeShift: z.number().positive().default(3).describe('Shift of logit-normal times (time_shift)'),
  ...advantageOptions,
});

type Options = z.output<typeof options>;

export const awm = defineAlgorithm({
  name: 'awm',
  summary: 'AWM: flow matching on its own images, weighted by their advantages, stabilised by slow weights',
  source:
    'Xue et al., Advantage Weighted Matching (arXiv 2509.25050); scxue/advantage_weighted_matching scripts/train_sd3_awm.py',
  options,
  check: ({ lossType, timesPerImage }, { sampling, training }) => [
    ...needsSeveralImages(sampling),
    ...(lossType === 'sum_first' && (training.stepsPerPass ?? timesPerImage) < timesPerImage
      ? ['awm.lossType sum_first needs all times of an image in one pass: leave out training.stepsPerPass']
      : []),
  ],
  configure: (own, { config, epochSize }) => {
    const schedule =
      own.klEmaDecayType === 'linear' ? linearDecay(own.klEmaDecay) : constantDecay(own.klEmaDecay);
    const { updatesPerEpoch, innerEpochs } = config.training;
    const offPolicy = updatesPerEpoch * innerEpochs > 1;
    const grid = gridOf(config.sampling);
    const drawTimes =
      own.timeType === 'logit_normal'
        ? stratifiedLogitNormal(own.timeShift)
        : stratified(own.timeType, grid, own.timestepFraction);
    return {
      rollout: { sampler: 'ode', keep: 'latents' },
      copies: {
        ...(own.emaBeta > 0
          ? { slow: { moves: 'epoch', decay: (updates: number) => decayAt(updates, schedule) } }
          : {}),
        ...(offPolicy ? { old: { moves: 'epoch', decay: () => 0 } } : {}),
        ...(own.beta > 0 ? { reference: { moves: 'never' } } : {}),
      },
      pointsPerImage: own.timesPerImage,
      units: allImages(epochSize),
      advantages: (scored) => advantagesWithin(groupedBy(own, scored), scored, own),
      metrics: {
        policyLoss: 'mean',
        kl: 'mean',
        klSlow: 'mean',
        matchingError: 'mean',
        maxRatioDeviation: 'max',
      },
      loss: (pass) => loss(pass, own, offPolicy, drawTimes),
    };
  },
});

function loss(pass: Pass, own: Options, offPolicy: boolean, drawTimes: DrawTimes): Loss {
  const { timesPerImage } = own;
  const points = noisedPoints(pass, { timesPerImage, drawTimes });
  const { times } = spreadOverTimes(pass, points, timesPerImage);
  const { policy, klRef, klSlow, total, error, ratio } = awmLoss(
    {
      ...{ t: points.t, target: points.target, advantages: pass.advantages },
      // The loss is a mean over the pass's times, which may be some of an image's.
      weights: tf.mul(pass.weights, times / timesPerImage),
      velocity: pass.velocity('trained', points),
      oldVelocity: offPolicy ? pass.velocity('old', points) : undefined,
      slowVelocity: own.emaBeta > 0 ? pass.velocity('slow', points) : undefined,
      referenceVelocity: own.beta > 0 ? pass.velocity('reference', points) : undefined,
    },
    {
      ...own,
      betaRef: own.beta,
      etaSlow: own.emaBeta,
      ratioOf: own.lossType === 'exp_first' ? 'time' : 'image',
      penalty: own.klWeighting,
    },
  );
  const used = tf.cast(tf.greater(pass.weights, 0), 'float32');
  const deviation = tf.mul(used, tf.abs(tf.sub(detach(ratio), 1)));
  return {
    loss: total,
    metrics: {
      policyLoss: policy,
      kl: klRef,
      klSlow,
      matchingError: tf.sum(tf.mul(pass.weights, tf.mul(tf.mean(detach(error), 0), times / timesPerImage))),
      maxRatioDeviation: tf.max(pass.placement.replicate(deviation)),
    },
  };
}
