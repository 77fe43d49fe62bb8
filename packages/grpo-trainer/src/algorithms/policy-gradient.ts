/** The clipped policy gradient that Flow-GRPO and GRPO-Guard share: options, checks and loss over recorded steps. */
import {
  gaussianKl,
  guardedRatio,
  guardedWeight,
  importanceRatio,
  logProbOfStep,
  stepMean,
  stepSigma,
} from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import type { BaseConfig } from '../config/base';
import { detach } from '../losses/rows';
import { clippedPolicyLoss, ratioStatistics, velocityKl } from '../maths/loss';
import {
  advantageOptions,
  advantagesWithin,
  advClipMax,
  groupedBy,
  needsSeveralImages,
} from './advantage-options';
import type { ConfiguredAlgorithm, Loss, RunFacts } from './algorithm';
import { type Pass, type RecordedPoints, recordedPoints } from './pass';
import { imagesWithAdvantage } from './units';

/** Of algorithms that train on the recorded steps of the window. */
export const timestepFraction = z
  .number()
  .gt(0)
  .max(1)
  .default(1)
  .describe("Share of the window's steps that train, from the first (train.timestep_fraction)");

export const policyGradientOptions = z.strictObject({
  clipRange: z.number().positive().default(1e-4).describe('Clip range of the ratio (train.clip_range)'),
  advClipMax,
  beta: z
    .number()
    .min(0)
    .default(0)
    .describe(
      "Weight of the KL to the reference; a KL on the velocity is about 100 times that of the step's mean (train.beta)",
    ),
  klTarget: z
    .enum(['step-mean', 'velocity'])
    .default('step-mean')
    .describe(
      "What the KL compares: the step's mean, like flow_grpo, or the velocity, whose KL is about 100 times as large",
    ),
  importanceCap: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe(
      'Weight samples by how much more likely the update finds them than the rollout did, at most by this (truncated importance sampling); null turns it off',
    ),
  timestepFraction,
  ...advantageOptions,
});

export type PolicyGradientOptions = z.output<typeof policyGradientOptions>;

/** What a ratio needs: noise, and images to compare. */
export function policyGradientProblems(name: string, { sampling }: BaseConfig): string[] {
  return [
    ...needsSeveralImages(sampling),
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
    rollout: { sampler: 'sde', keep: 'steps' },
    copies: options.beta > 0 ? { reference: { moves: 'never' } } : {},
    pointsPerImage: trainedSteps,
    units: imagesWithAdvantage(epochSize),
    advantages: (scored) => advantagesWithin(groupedBy(options, scored), scored, options),
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
    perStep: ['logProbMismatch', 'ratio'],
    measure(pass): Record<string, tf.Tensor> {
      const points = recordedPoints(pass, trainedSteps);
      const { logProb, mean } = drawnBy(pass.velocity('trained', points), points);
      return guarded ? { logProb, mean } : { logProb };
    },
    measuredLatents: guarded ? 1 : 0,
    loss: (pass) => policyGradientLoss(pass, options, trainedSteps, guarded),
  };
}

/**
 * Flow-GRPO's clipped loss over (sample, step) rows, plus β·KL.
 *
 * Both log-probabilities of the ratio come from the update: that of the policy which made the samples was computed before
 * the first update, by the executable that computes the current one. So the ratio of a policy that has not changed is
 * exactly 1 in every update, whatever the rounding of the rollout's other program. How far the two programs are apart is
 * reported (`maxLogProbMismatch`, `logProbMismatch` per step), and `importanceCap` corrects for it.
 */
function policyGradientLoss(
  pass: Pass,
  options: PolicyGradientOptions,
  trainedSteps: number,
  guarded: boolean,
): Loss {
  const { beta, klTarget, clipRange } = options;
  const points = recordedPoints(pass, trainedSteps);
  const { x, step, weights, advantages, logProb: recorded } = points;
  const velocity = pass.velocity('trained', points);
  const { mean, logProb } = drawnBy(velocity, points);
  const own = detach(logProb);
  const oldLogProb = pass.before('logProb', logProb);
  let ratio: tf.Tensor;
  let stepWeight: tf.Tensor | number = 1;
  if (guarded) {
    const oldMean = pass.before('mean', mean);
    ratio = guardedRatio(logProb, oldLogProb, { mean, oldMean, std: step.std as tf.Tensor1D });
    stepWeight = guardedWeight(step.dt);
  } else {
    ratio = importanceRatio(logProb, oldLogProb);
  }
  if (options.importanceCap !== null) {
    const correction = tf.minimum(tf.exp(tf.sub(oldLogProb, recorded)), options.importanceCap);
    stepWeight = tf.mul(stepWeight, correction);
  }
  const clipped = tf.mul(stepWeight, clippedPolicyLoss(ratio, advantages, options));
  const policyLoss = tf.sum(tf.mul(weights, clipped));

  let kl: tf.Tensor = tf.scalar(0);
  if (beta > 0) {
    const referenceVelocity = pass.velocity('reference', points);
    // flow_grpo's has σ_t for the deviation, without √dt: the Gaussian KL of the step times dt.
    const distance =
      klTarget === 'velocity'
        ? velocityKl(velocity, referenceVelocity)
        : gaussianKl(mean, stepMean(step, { x, velocity: referenceVelocity }), stepSigma(step));
    kl = tf.sum(tf.mul(weights, distance));
  }
  const used = tf.greater(weights, 0);
  const { approxKl, clipFraction, clipFractionAbove, clipFractionBelow } = ratioStatistics(
    own,
    oldLogProb,
    detach(ratio),
    weights,
    clipRange,
  );
  // On all devices first: not every plugin reduces a maximum that minds NaN over devices.
  const maxOf = (value: tf.Tensor) =>
    tf.max(pass.placement.replicate(tf.mul(tf.cast(used, 'float32'), tf.abs(value))));
  const mismatch = tf.abs(tf.sub(own, recorded));
  const counts = tf.logicalAnd(used, tf.greater(pass.onPolicy, 0));
  const missing = tf.fill(mismatch.shape, Number.NaN);
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
      maxLogProbMismatch: tf.mul(pass.onPolicy, maxOf(mismatch)),
    },
    perStep: {
      logProbMismatch: tf.where(counts, mismatch, missing),
      ratio: tf.where(used, detach(ratio), missing),
    },
  };
}

/** Mean and log-probability of the recorded steps under a velocity. */
function drawnBy(velocity: tf.Tensor, { x, next, step }: RecordedPoints) {
  return {
    mean: stepMean(step, { x, velocity }),
    logProb: logProbOfStep(step, { x, velocity, next }),
  };
}
