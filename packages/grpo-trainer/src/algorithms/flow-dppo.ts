/** Flow-DPPO. */
import { gaussianKl, logRatio, stepMean } from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { flowDppoLoss, halfSquaredDistance } from '../losses/flow-dppo';
import { detach, weighted } from '../losses/rows';
import { advantageOptions, advantagesWithin, advClipMax, groupedBy } from './advantage-options';
import { defineAlgorithm, type Loss } from './algorithm';
import { type Pass, type RecordedPoints, recordedPoints } from './pass';
import { policyGradientProblems, timestepFraction } from './policy-gradient';
import { allImages } from './units';

const options = z.strictObject({
  klMaskThreshold: z
    .number()
    .min(0)
    .default(1e-5)
    .describe(
      'Divergence above which a step that has moved in the direction of its advantage stops training (kl_mask_threshold)',
    ),
  addKlCoefficient: z
    .boolean()
    .default(true)
    .describe("Divergences are divided by the step's variance (add_kl_coefficient)"),
  beta: z
    .number()
    .min(0)
    .default(0)
    .describe("Weight of the same divergence from the reference's steps (beta)"),
  advClipMax,
  timestepFraction,
  ...advantageOptions,
});

type Options = z.output<typeof options>;

export const flowDppo = defineAlgorithm({
  name: 'flow-dppo',
  summary: 'Flow-DPPO: Flow-GRPO whose trust region is the divergence of a step, not the clipped ratio',
  source: 'Flow-DPPO; Tencent-Hunyuan/UniRL unirl/algorithms/flowdppo.py',
  options,
  check: (_options, config) => policyGradientProblems('flow-dppo', config),
  configure: (own, { windowSize, epochSize }) => {
    const trainedSteps = Math.max(1, Math.floor(windowSize * own.timestepFraction));
    return {
      rollout: { sampler: 'sde', keep: 'steps' },
      copies: { ...(own.beta > 0 ? { reference: { moves: 'never' } } : {}) },
      pointsPerImage: trainedSteps,
      units: allImages(epochSize),
      advantages: (scored) => advantagesWithin(groupedBy(own, scored), scored, own),
      metrics: {
        policyLoss: 'mean',
        kl: 'mean',
        approxKl: 'mean',
        maskedFraction: 'mean',
        maxDivergence: 'max',
        maxRatioDeviation: 'max',
      },
      measure: (pass) => ({ mean: meanOf(pass, recordedPoints(pass, trainedSteps)) }),
      measuredLatents: 1,
      loss: (pass) => loss(pass, own, trainedSteps),
    };
  },
});

/** The mean of each recorded step under the trained weights. */
const meanOf = (pass: Pass, points: RecordedPoints) =>
  stepMean(points.step, { x: points.x, velocity: pass.velocity('trained', points) });

/**
 * Old means are those of the policy that made the samples, by the program that gives the current ones: a policy that has
 * not changed has ratio 1 and divergence 0 in every update, whatever the rounding of the rollout's other program.
 */
function loss(pass: Pass, own: Options, trainedSteps: number): Loss {
  const points = recordedPoints(pass, trainedSteps);
  const { x, next, step, weights } = points;
  const std = step.std as tf.Tensor1D;
  const mean = meanOf(pass, points);
  const oldMean = pass.before('mean', mean);
  const divergence = (from: tf.Tensor) =>
    own.addKlCoefficient ? gaussianKl(mean, from, std) : halfSquaredDistance(mean, from);
  const {
    loss: policyLoss,
    ratio,
    metrics,
  } = flowDppoLoss(
    {
      logRatio: logRatio({ mean, oldMean, next, std }),
      divergence: divergence(oldMean),
      advantages: tf.clipByValue(points.advantages, -own.advClipMax, own.advClipMax),
      weights,
    },
    { threshold: own.klMaskThreshold },
  );
  const kl =
    own.beta > 0
      ? weighted(weights, divergence(stepMean(step, { x, velocity: pass.velocity('reference', points) })))
      : tf.scalar(0);
  const used = tf.cast(tf.greater(weights, 0), 'float32');
  const largest = (rows: tf.Tensor) => tf.max(pass.placement.replicate(tf.mul(used, rows)));
  return {
    loss: own.beta > 0 ? tf.add(policyLoss, tf.mul(own.beta, kl)) : policyLoss,
    metrics: {
      policyLoss,
      kl,
      approxKl: metrics.approxKl,
      maskedFraction: metrics.maskedFraction,
      maxDivergence: largest(detach(divergence(oldMean))),
      maxRatioDeviation: largest(tf.abs(tf.sub(detach(ratio), 1))),
    },
  };
}
