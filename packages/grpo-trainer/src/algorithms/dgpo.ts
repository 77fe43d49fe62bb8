/** Direct group preference optimisation. */
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { decayAt, linearDecay } from '../losses/decay';
import { dgpoLoss } from '../losses/dgpo';
import { detach } from '../losses/rows';
import { advantages, advantagesWithin, advClipMax, needsSeveralImages } from './advantage-options';
import { defineAlgorithm, type Loss } from './algorithm';
import { type DrawTimes, gridOf, sharedChoice } from './draw-times';
import { groupAndTime, klWeight, spreadOverTimes } from './forward-rows';
import { noisedPoints, type Pass } from './pass';
import { wholeGroups } from './units';

const options = z.strictObject({
  betaDpo: z
    .number()
    .positive()
    .default(100)
    .describe("Strength of the preference inside a group's weight (train.beta_dpo)"),
  clipRange: z
    .number()
    .positive()
    .default(0.05)
    .describe('How far an error may move from that of the fast weights and still train (clip_range)'),
  clipDsm: z.boolean().default(true).describe('Whether errors beyond it lose their gradient (clip_dsm)'),
  clipKl: z
    .boolean()
    .default(false)
    .describe('Whether the KL of such images loses its gradient too (clip_kl)'),
  klWeight: klWeight(0.02, 'train.beta'),
  advClipMax,
  globalStd: z
    .boolean()
    .default(false)
    .describe('Divide advantages by the deviation of all rewards (sample.global_std)'),
  advantages,
  timesPerImage: z
    .int()
    .min(1)
    .default(4)
    .describe('Different times drawn, the same for all images (num_train_timesteps)'),
  truncSteps: z
    .int()
    .min(0)
    .default(6)
    .describe("Last of the rollout's steps whose times are drawn, counted from 0 (trunc_steps)"),
  sharedNoise: z
    .boolean()
    .default(true)
    .describe('Give all images of a prompt the same noise (use_shared_noise)'),
  groupReference: z
    .enum(['reference', 'fast'])
    .default('reference')
    .describe("What a group's weight compares with: the reference, or the fast weights (use_ema_ref)"),
  sampling: z
    .enum(['trained', 'fast'])
    .default('trained')
    .describe(
      'Which weights draw the images; upstream changes to the fast ones after some updates (switch_ema_ref)',
    ),
  guidedReference: z
    .boolean()
    .default(true)
    .describe('Guide the reference if rollouts are guided (sample.guidance_scale)'),
});

type Options = z.output<typeof options>;

/** Highest decay of the fast weights (flow_grpo/ema.py of DGPO). */
const FAST_DECAY = 0.3;

export const dgpo = defineAlgorithm({
  name: 'dgpo',
  summary: 'DGPO: prefers the good images of each prompt to its bad ones as groups; no SDE',
  source: 'Luo et al., DGPO (arXiv 2510.08425); Luo-Yihong/DGPO scripts/train_sd3_dgpo.py',
  options,
  check: ({ truncSteps, timesPerImage }, { sampling }) => [
    ...needsSeveralImages(sampling),
    ...(truncSteps < sampling.numSteps
      ? []
      : [`dgpo.truncSteps (${truncSteps}) must be below sampling.numSteps (${sampling.numSteps})`]),
    ...(timesPerImage <= truncSteps + 1
      ? []
      : [
          `dgpo.timesPerImage (${timesPerImage}) is larger than the ${truncSteps + 1} times up to dgpo.truncSteps`,
        ]),
  ],
  configure: (own, { config }) => {
    const { promptsPerEpoch, samplesPerPrompt } = config.sampling;
    const schedule = linearDecay(FAST_DECAY);
    const drawTimes = sharedChoice(gridOf(config.sampling).slice(0, own.truncSteps + 1));
    const needsFast = needsFastWeights(own);
    return {
      rollout: { sampler: 'ode', keep: 'latents', ...(own.sampling === 'fast' ? { weights: 'fast' } : {}) },
      copies: {
        ...(needsFast
          ? { fast: { moves: 'update', decay: (updates: number) => decayAt(updates, schedule) } }
          : {}),
        ...(needsReference(own)
          ? { reference: { moves: 'never', purpose: own.guidedReference ? 'sampling' : 'training' } }
          : {}),
      },
      pointsPerImage: own.timesPerImage,
      units: wholeGroups(promptsPerEpoch, samplesPerPrompt),
      advantages: (scored) => advantagesWithin(scored.prompts, scored, own),
      metrics: {
        policyLoss: 'mean',
        kl: 'mean',
        matchingError: 'mean',
        clipFraction: 'mean',
        groupWeight: 'mean',
      },
      loss: (pass) => loss(pass, own, samplesPerPrompt, drawTimes),
    };
  },
});

const clips = ({ clipDsm, clipKl }: Options) => clipDsm || clipKl;
const needsFastWeights = (own: Options) =>
  clips(own) || own.groupReference === 'fast' || own.sampling === 'fast';
const needsReference = (own: Options) => own.klWeight > 0 || own.groupReference === 'reference';

function loss(pass: Pass, own: Options, groupSize: number, drawTimes: DrawTimes): Loss {
  const { timesPerImage } = own;
  const points = noisedPoints(pass, { timesPerImage, drawTimes, sharing: own.sharedNoise ? groupSize : 1 });
  const { times, advantages, weights } = spreadOverTimes(pass, points, timesPerImage);
  const velocity = pass.velocity('trained', points);
  const reference = needsReference(own) ? pass.velocity('reference', points) : undefined;
  const fast = clips(own) || own.groupReference === 'fast' ? pass.velocity('fast', points) : undefined;
  const { policy, kl, total, error, clipped, groupWeight } = dgpoLoss(
    {
      ...{ target: points.target, velocity, advantages, weights },
      fastVelocity: fast,
      referenceVelocity: own.klWeight > 0 ? reference : undefined,
      groupReferenceVelocity: (own.groupReference === 'fast' ? fast : reference)!,
      group: groupAndTime(pass, times, groupSize),
    },
    { ...own, groupSize, clipPolicy: own.clipDsm },
  );
  const mean = (rows: tf.Tensor) => tf.sum(tf.mul(weights, rows));
  return {
    loss: total,
    metrics: {
      policyLoss: policy,
      kl,
      matchingError: mean(detach(error)),
      clipFraction: clipped ? mean(tf.cast(clipped, 'float32')) : tf.scalar(0),
      groupWeight: mean(groupWeight),
    },
  };
}
