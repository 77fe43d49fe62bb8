/** DiffusionNFT. */
import { z } from 'zod';
import { decayAt, decaySchedule } from '../losses/decay';
import { nftLoss, optimality } from '../losses/nft';
import {
  advantageOptions,
  advantagesWithin,
  advClipMax,
  groupedBy,
  needsSeveralImages,
} from './advantage-options';
import { defineAlgorithm, type Loss } from './algorithm';
import { decayName } from './decay-option';
import { type DrawTimes, gridOf, ownOrder, timesInGrid } from './draw-times';
import { klWeight, spreadOverTimes } from './forward-rows';
import { noisedPoints, type Pass } from './pass';
import { allImages } from './units';

const options = z.strictObject({
  beta: z
    .number()
    .positive()
    .default(1)
    .describe('Strength of the mixture of old and trained velocity (beta)'),
  klWeight: klWeight(1e-4, 'train.beta'),
  advClipMax,
  advMode: z
    .enum(['all', 'positive_only', 'negative_only', 'one_only', 'binary'])
    .default('all')
    .describe('Which advantages count (train.adv_mode)'),
  decayType: decayName(1, 'decay_type').describe(
    'How much of itself the old policy, which draws the images, keeps after an epoch: 0 nothing, 1 slowly up to 0.5, 2 after 75 updates up to 0.999, or startStep-start-slope-end (decay_type)',
  ),
  timestepFraction: z
    .number()
    .gt(0)
    .max(1)
    .default(0.99)
    .describe("Share of the rollout's times that each image trains at (train.timestep_fraction)"),
  timesPerImage: z
    .int()
    .min(1)
    .optional()
    .describe('Times drawn per image; by default as many as timestepFraction says'),
  klTarget: z
    .number()
    .positive()
    .optional()
    .describe(
      'KL on the velocity (per image and time) at which its weight has doubled; it keeps growing beyond, so that long runs do not collapse. By default, as in the official code, the weight is constant',
    ),
  ...advantageOptions,
});

type Options = z.output<typeof options>;

export const nft = defineAlgorithm({
  name: 'nft',
  summary: 'DiffusionNFT: matches its own noised images, towards good ones and away from bad ones; no SDE',
  source: 'Zheng et al., DiffusionNFT (arXiv 2509.16117); NVlabs/DiffusionNFT scripts/train_nft_sd3.py',
  options,
  check: ({ timesPerImage = 1 }, { sampling }) => [
    ...needsSeveralImages(sampling),
    ...(timesPerImage > sampling.numSteps
      ? [`nft.timesPerImage (${timesPerImage}) is larger than sampling.numSteps (${sampling.numSteps})`]
      : []),
  ],
  configure: (own, { config, epochSize }) => {
    const schedule = decaySchedule(own.decayType);
    const timesPerImage = own.timesPerImage ?? timesInGrid(config.sampling, own.timestepFraction);
    const drawTimes = ownOrder(gridOf(config.sampling));
    return {
      rollout: { sampler: 'ode', keep: 'latents', weights: 'old' },
      copies: {
        old: { moves: 'epoch', decay: (updates) => decayAt(updates, schedule) },
        ...(own.klWeight > 0 ? { reference: { moves: 'never' } } : {}),
      },
      pointsPerImage: timesPerImage,
      units: allImages(epochSize),
      advantages: (scored) => advantagesWithin(groupedBy(own, scored), scored, own),
      metrics: { policyLoss: 'mean', kl: 'mean' },
      loss: (pass) => loss(pass, own, timesPerImage, drawTimes),
    };
  },
});

function loss(pass: Pass, own: Options, timesPerImage: number, drawTimes: DrawTimes): Loss {
  const points = noisedPoints(pass, { timesPerImage, drawTimes });
  const { advantages, weights } = spreadOverTimes(pass, points, timesPerImage);
  const { policy, kl, total } = nftLoss(
    {
      ...{ x: points.x, t: points.t, data: points.data, weights },
      velocity: pass.velocity('trained', points),
      oldVelocity: pass.velocity('old', points),
      referenceVelocity: own.klWeight > 0 ? pass.velocity('reference', points) : undefined,
      rho: optimality(advantages, own.advClipMax, own.advMode),
    },
    own,
  );
  return { loss: total, metrics: { policyLoss: policy, kl } };
}
