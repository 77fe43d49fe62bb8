/** The clipped policy gradient that Flow-GRPO and GRPO-Guard share: options, checks and loss over recorded steps. */
import { guardedRatio, logProbOfStep, stepMean, stepSigma } from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import type { BaseConfig } from '../config/base';
import { clippedPolicyLoss, importanceRatio, ratioStatistics, stepMeanKl, velocityKl } from '../maths/loss';
import { advantageOptions, advClipMax, comparedWithin, comparesImages, groupedBy } from './advantage-options';
import type { ConfiguredAlgorithm, Loss, RunFacts } from './algorithm';
import { detach, type Pass, recordedPoints } from './pass';
import { imagesWithAdvantage } from './units';

export const policyGradientOptions = z.strictObject({
  clipRange: z.number().positive().default(1e-4).describe('Clip range of the ratio (train.clip_range)'),
  advClipMax,
  beta: z.number().min(0).default(0).describe('Weight of the KL to the reference (train.beta)'),
  klTarget: z
    .enum(['step-mean', 'velocity'])
    .default('step-mean')
    .describe("What the KL compares: the step's mean, as flow_grpo, or the velocity"),
  timestepFraction: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe("Share of the window's steps that train, from the first (train.timestep_fraction)"),
  ...advantageOptions,
});

export type PolicyGradientOptions = z.output<typeof policyGradientOptions>;

/** What a ratio needs: noise, and images to compare. */
export function policyGradientProblems(name: string, { sampling }: BaseConfig): string[] {
  return [
    ...comparesImages(sampling),
    ...(sampling.noiseLevel === 0
      ? [`sampling.noiseLevel is 0: without noise there is no log-probability for ${name}; use 0.7`]
      : []),
  ];
}

/**
 * @param guarded GRPO-Guard: the ratio is centred by the distance of the means and brought to one scale over steps, and
 *   each step's loss is divided by its dt
 */
export function configurePolicyGradient(
  options: PolicyGradientOptions,
  { windowSize, epochSize }: RunFacts,
  { guarded }: { guarded: boolean },
): ConfiguredAlgorithm {
  const trainedSteps = Math.max(1, Math.floor(windowSize * options.timestepFraction));
  return {
    rollout: { sampler: 'sde', keep: guarded ? 'means' : 'steps' },
    copies: options.beta > 0 ? { reference: { moves: 'never' } } : {},
    pointsPerImage: trainedSteps,
    units: imagesWithAdvantage(epochSize),
    advantages: (scored) => comparedWithin(groupedBy(options, scored), scored, options),
    metrics: {
      policyLoss: 'mean',
      kl: 'mean',
      approxKl: 'mean',
      clipFraction: 'mean',
      clipFractionAbove: 'mean',
      clipFractionBelow: 'mean',
      maxRatioDeviation: 'max',
      maxLogProbMismatch: 'max',
    },
    loss: (pass) => policyGradientLoss(pass, options, trainedSteps, guarded),
  };
}

/**
 * Flow-GRPO's clipped loss over (sample, step) rows, plus β·KL.
 *
 * In the first update of an epoch the policy is the one that made the samples, so its own log-probability stands
 * in for the recorded one: the ratio is exactly 1 whatever the rounding of two differently compiled functions.
 * `maxLogProbMismatch` shows how far the two are apart.
 */
function policyGradientLoss(
  pass: Pass,
  options: PolicyGradientOptions,
  trainedSteps: number,
  guarded: boolean,
): Loss {
  const { beta, klTarget, clipRange } = options;
  const points = recordedPoints(pass, trainedSteps);
  const { x, next, step, weights, advantages, logProb: recorded } = points;
  const velocity = pass.velocity('trained', points);
  const mean = stepMean(step, { x, velocity });
  const logProb = logProbOfStep(step, { x, velocity, next });
  const own = detach(logProb);
  const onPolicy = tf.greater(pass.onPolicy, 0);
  const oldLogProb = tf.where(onPolicy, own, recorded);
  let ratio: tf.Tensor;
  let stepWeight: tf.Tensor | number = 1;
  if (guarded) {
    const oldMean = tf.where(onPolicy, detach(mean), points.mean!);
    ratio = guardedRatio(logProb, oldLogProb, { mean, oldMean, std: step.std as tf.Tensor1D });
    stepWeight = tf.reciprocal(step.dt);
  } else {
    ratio = importanceRatio(logProb, oldLogProb);
  }
  const clipped = tf.mul(stepWeight, clippedPolicyLoss(ratio, advantages, options));
  const policyLoss = tf.sum(tf.mul(weights, clipped));

  let kl: tf.Tensor = tf.scalar(0);
  if (beta > 0) {
    const referenceVelocity = pass.velocity('reference', points);
    const distance =
      klTarget === 'velocity'
        ? velocityKl(velocity, referenceVelocity)
        : stepMeanKl(mean, stepMean(step, { x, velocity: referenceVelocity }), stepSigma(step));
    kl = tf.sum(tf.mul(weights, distance));
  }
  const used = tf.cast(tf.greater(weights, 0), 'float32');
  const { approxKl, clipFraction, clipFractionAbove, clipFractionBelow } = ratioStatistics(
    own,
    oldLogProb,
    detach(ratio),
    weights,
    clipRange,
  );
  // On all devices first: not every plugin reduces a maximum that minds NaN over devices.
  const maxOf = (value: tf.Tensor) => tf.max(pass.placement.replicate(tf.mul(used, tf.abs(value))));
  return {
    loss: beta > 0 ? tf.add(policyLoss, tf.mul(beta, kl)) : policyLoss,
    metrics: {
      policyLoss,
      kl,
      approxKl,
      clipFraction,
      clipFractionAbove,
      clipFractionBelow,
      maxRatioDeviation: maxOf(tf.sub(detach(ratio), 1)),
      maxLogProbMismatch: tf.mul(pass.onPolicy, maxOf(tf.sub(own, recorded))),
    },
  };
}
