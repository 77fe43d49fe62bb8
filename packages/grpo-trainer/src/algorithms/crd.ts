/** Centred reward distillation. */
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { crdLoss } from '../losses/crd';
import { decayAt, decaySchedule } from '../losses/decay';
import { optimality } from '../losses/nft';
import { detach, weighted } from '../losses/rows';
import {
  advantageOptions,
  advantagesWithin,
  advClipMax,
  groupedBy,
  needsSeveralImages,
} from './advantage-options';
import { defineAlgorithm, type Loss } from './algorithm';
import { decayName } from './decay-option';
import { type DrawTimes, gridOf, stratified, timesInGrid } from './draw-times';
import { groupAndTime, klWeight, spreadOverTimes } from './forward-rows';
import { noisedPoints, type Pass } from './pass';
import { wholeGroups } from './units';

const options = z.strictObject({
  beta: z.number().positive().default(1).describe('Scale of the implicit reward (crd_beta)'),
  lossType: z
    .enum(['mse', 'bce'])
    .default('mse')
    .describe('How implicit rewards are fitted to advantages (crd_loss_type)'),
  adaptiveLogp: z
    .boolean()
    .default(true)
    .describe('Errors are divided by their own mean absolute value (adaptive_logp)'),
  weightTemp: z
    .number()
    .default(-1)
    .describe('Temperature of the weights of the means that centre; below 0 plain means (weight_temp)'),
  advClipMax,
  klWeight: klWeight(0.1, 'kl_beta'),
  rewardAdaptiveKl: z
    .boolean()
    .default(true)
    .describe('The KL counts less for images of low reward (reward_adaptive_kl)'),
  guidedReference: z
    .boolean()
    .default(true)
    .describe("Guide the KL's reference if rollouts are guided (kl_cfg)"),
  oldModelDecay: decayName('0-0.25-0.005-0.999', 'old_model_decay').describe(
    'Share that the old weights, which the implicit reward compares with, keep after an epoch: a preset 0 to 6, or startStep-start-slope-end (old_model_decay)',
  ),
  samplingModelDecay: decayName('75-0.0-0.0075-0.999', 'sampling_model_decay').describe(
    'The same for the weights that draw the images (sampling_model_decay)',
  ),
  timestepFraction: z
    .number()
    .gt(0)
    .max(1)
    .default(0.99)
    .describe("Share of the rollout's times that are drawn from (timestep_range)"),
  timesPerImage: z
    .int()
    .min(1)
    .optional()
    .describe('Times drawn; one from each of these by default (num_train_timesteps)'),
  ...advantageOptions,
});

type Options = z.output<typeof options>;

export const crd = defineAlgorithm({
  name: 'crd',
  summary: "CRD: fits the model's implicit reward to the reward, both centred within each prompt; no SDE",
  source:
    'Centered Reward Distillation (arXiv 2603.14128); X-GenGroup/Flow-Factory src/flow_factory/trainers/crd.py',
  options,
  check: (_options, { sampling }) => needsSeveralImages(sampling),
  configure: (own, { config }) => {
    const { promptsPerEpoch, samplesPerPrompt } = config.sampling;
    const [old, sampling] = [decaySchedule(own.oldModelDecay), decaySchedule(own.samplingModelDecay)];
    const timesPerImage = own.timesPerImage ?? timesInGrid(config.sampling, own.timestepFraction);
    const drawTimes = stratified('discrete', gridOf(config.sampling), own.timestepFraction);
    return {
      rollout: { sampler: 'ode', keep: 'latents', weights: 'sampling' },
      copies: {
        old: { moves: 'epoch', decay: (updates) => decayAt(updates, old) },
        sampling: { moves: 'epoch', decay: (updates) => decayAt(updates, sampling) },
        ...(own.klWeight > 0
          ? { reference: { moves: 'never', purpose: own.guidedReference ? 'sampling' : 'training' } }
          : {}),
      },
      pointsPerImage: timesPerImage,
      units: wholeGroups(promptsPerEpoch, samplesPerPrompt),
      advantages: (scored) => advantagesWithin(groupedBy(own, scored), scored, own),
      metrics: { policyLoss: 'mean', kl: 'mean' },
      loss: (pass) => loss(pass, own, samplesPerPrompt, timesPerImage, drawTimes),
    };
  },
});

function loss(
  pass: Pass,
  own: Options,
  groupSize: number,
  timesPerImage: number,
  drawTimes: DrawTimes,
): Loss {
  const points = noisedPoints(pass, { timesPerImage, drawTimes });
  const { times, advantages, weights } = spreadOverTimes(pass, points, timesPerImage);
  const { policy, klRows, total } = crdLoss(
    {
      ...{ target: points.target, weights },
      velocity: pass.velocity('trained', points),
      oldVelocity: pass.velocity('old', points),
      referenceVelocity: own.klWeight > 0 ? pass.velocity('reference', points) : undefined,
      rho: optimality(advantages, own.advClipMax),
      group: groupAndTime(pass, times, groupSize),
    },
    { ...own, adaptiveWeight: own.adaptiveLogp, loss: own.lossType },
  );
  return {
    loss: total,
    metrics: { policyLoss: policy, kl: klRows ? weighted(weights, detach(klRows)) : tf.scalar(0) },
  };
}
