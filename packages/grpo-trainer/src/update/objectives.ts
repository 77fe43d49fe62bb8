/** What an update minimises: one function an objective, from trained weights and rows of an epoch to a loss. */
import { stopGradient } from '@flow-grpo/nn';
import { guardedRatio, logProbOfStep, stepMean } from '@flow-grpo/sde-sampler';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Placement } from '../devices';
import { indices } from '../indices';
import {
  clippedPolicyLoss,
  importanceRatio,
  meanOverSample,
  ratioStatistics,
  stepMeanKl,
  velocityKl,
} from '../maths/loss';
import type { Params, Policy, Tensors } from '../policy';
import { mapTensors, type StepRecords } from '../rollout/rollout';
import { gatherSteps, type StepTensors, sigmaOf } from '../rollout/steps';
import type { Prepared } from './preparation';

/** The samples of an epoch, on the device. */
export interface EpochSamples {
  readonly records: StepRecords;
  /** [N, ...latentShape] at t = 1, in the order of the records. */
  readonly latents: tf.Tensor;
  /** int32 [N]: the prompt of each, in this order. */
  readonly promptOf: tf.Tensor1D;
  /** Coefficients of the recorded steps, [W] each. */
  readonly steps: StepTensors;
}

/** The rows of one gradient pass. */
export interface PassRows {
  /** int32 [b]: where the records of each lie; for dpo the preferred half first, then its counterparts. */
  readonly places: tf.Tensor1D;
  /** int32 [s]: which of the recorded steps of these; all that train without it. */
  readonly steps?: tf.Tensor1D;
  /** [b]: share of each in the update; over its images they sum to 1 (0 on padding). */
  readonly weights: tf.Tensor1D;
  /** [b] */
  readonly advantages: tf.Tensor1D;
  /** Scalar 1 while the policy is still the one that made the samples, else 0. */
  readonly onPolicy: tf.Tensor;
  /** Random key of the pass. */
  readonly key: tf.Tensor;
}

/** A scalar loss and named scalars. Names starting with `max` combine over passes by maximum, others by sum. */
export interface Objective<C> {
  readonly metrics: readonly string[];
  loss(
    trained: Params,
    reference: Params,
    condition: C,
    samples: EpochSamples,
    rows: PassRows,
    /** What the policy prepared of both weights; prepared here without it. */
    prepared?: Prepared,
  ): { loss: tf.Tensor; metrics: readonly tf.Tensor[] };
}

export interface PolicyGradientOptions {
  readonly clipRange: number;
  readonly advClipMax: number;
  readonly beta: number;
  readonly klOn: 'step-mean' | 'velocity';
  /** How many of the recorded steps train, from the first. */
  readonly trainedSteps: number;
  /**
   * GRPO-Guard (arXiv 2510.22319): the ratio is centred by the distance of the means and brought to one scale
   * over steps, and each step's loss is divided by its dt.
   */
  readonly guard: boolean;
}

/**
 * Flow-GRPO's clipped loss over (sample, step) rows, plus β·KL.
 *
 * In the first update of an epoch the policy is the one that made the samples, so its own log-probability stands
 * in for the recorded one: the ratio is exactly 1 whatever the rounding of two differently compiled functions.
 * `maxLogProbMismatch` shows how far the two are apart.
 */
export function policyGradient<C, P>(
  policy: Policy<C, P>,
  placement: Placement,
  options: PolicyGradientOptions,
): Objective<C> {
  const { beta, klOn, trainedSteps, guard, clipRange } = options;
  const metrics = [
    'policyLoss',
    'kl',
    'approxKl',
    'clipFraction',
    'clipFractionAbove',
    'clipFractionBelow',
    'maxRatioDeviation',
    'maxLogProbMismatch',
  ];
  return {
    metrics,
    loss(trained, reference, condition, samples, rows, ready) {
      // One row a sample and step, the steps of a sample together.
      const chosen = rows.steps ?? indices(0, trainedSteps);
      const stepOf = tf.tile(chosen, [rows.places.shape[0]!]);
      const perStep = (value: tf.Tensor1D) => repeatRows(value, chosen.shape[0]);
      const {
        x,
        next,
        logProb: recorded,
        features,
        mean: recordedMean,
      } = mapTensors(placement.take(samples.records, rows.places), (value) =>
        placement.rows(rows.steps ? rowsOfSteps(value, rows.steps) : stepRows(value, trainedSteps)),
      );
      const step = gatherSteps(samples.steps, stepOf);
      const prompts = placement.rows(perStep(tf.gather(samples.promptOf, rows.places)));
      const weights = tf.div(perStep(rows.weights), trainedSteps) as tf.Tensor1D;
      const advantages = perStep(rows.advantages);

      const velocityOf = (params: Params, given: Tensors | undefined): tf.Tensor => {
        const prepared = (given ?? policy.prepare?.(params, condition, 'training')) as P;
        return policy.velocityFromFeatures && features
          ? policy.velocityFromFeatures(params, features, step.t, condition, prompts, prepared)
          : policy.velocity(params, x, step.t, condition, prompts, prepared, 'training').velocity;
      };
      const velocity = velocityOf(trained, ready?.trained);
      const mean = stepMean(step, { x, velocity });
      const logProb = logProbOfStep(step, { x, velocity, next });
      const own = detach(logProb);
      const onPolicy = tf.greater(rows.onPolicy, 0);
      const oldLogProb = tf.where(onPolicy, own, recorded);
      let ratio: tf.Tensor;
      let stepWeight: tf.Tensor | number = 1;
      if (guard) {
        const oldMean = tf.where(onPolicy, detach(mean), recordedMean!);
        ratio = guardedRatio(logProb, oldLogProb, { mean, oldMean, std: step.std as tf.Tensor1D });
        stepWeight = tf.reciprocal(step.dt);
      } else {
        ratio = importanceRatio(logProb, oldLogProb);
      }
      const clipped = tf.mul(stepWeight, clippedPolicyLoss(ratio, advantages, options));
      const policyLoss = tf.sum(tf.mul(weights, clipped));

      let kl: tf.Tensor = tf.scalar(0);
      if (beta > 0) {
        const referenceVelocity = stopGradient(() => velocityOf(reference, ready?.reference));
        const distance =
          klOn === 'velocity'
            ? velocityKl(velocity, referenceVelocity)
            : stepMeanKl(mean, stepMean(step, { x, velocity: referenceVelocity }), sigmaOf(step));
        kl = tf.sum(tf.mul(weights, distance));
      }
      const used = tf.cast(tf.greater(weights, 0), 'float32');
      const statistics = ratioStatistics(own, oldLogProb, detach(ratio), weights, clipRange);
      // On all devices first: not every plugin reduces a maximum that minds NaN over devices.
      const maxOf = (value: tf.Tensor) => tf.max(placement.everywhere(tf.mul(used, tf.abs(value))));
      return {
        loss: beta > 0 ? tf.add(policyLoss, tf.mul(beta, kl)) : policyLoss,
        metrics: [
          policyLoss,
          kl,
          statistics.approxKl,
          statistics.clipFraction,
          statistics.clipFractionAbove,
          statistics.clipFractionBelow,
          maxOf(tf.sub(detach(ratio), 1)),
          tf.mul(rows.onPolicy, maxOf(tf.sub(own, recorded))),
        ],
      };
    },
  };
}

/**
 * Flow matching on the policy's own images, weighted by their advantages: sft (best of the group) and rwr
 * (reward-weighted regression). Times are logit-normal. Source: flow_grpo/scripts/train_sd3_sft.py.
 */
export function weightedFlowMatching<C, P>(
  policy: Policy<C, P>,
  placement: Placement,
  { timesPerSample, advClipMax }: { timesPerSample: number; advClipMax: number },
): Objective<C> {
  return {
    metrics: ['flowMatchingLoss'],
    loss(trained, _reference, condition, samples, rows, ready) {
      const points = noisyPoints(samples, rows, placement, timesPerSample, 1);
      const velocity = velocityAt(policy, points, trained, condition, ready?.trained);
      const error = meanOverSample(tf.square(tf.sub(velocity, points.target)));
      const perTime = (value: tf.Tensor1D) => tf.tile(value, [timesPerSample]);
      const gain = tf.clipByValue(perTime(rows.advantages), -advClipMax, advClipMax);
      const weights = tf.div(perTime(rows.weights), timesPerSample);
      return {
        loss: tf.sum(tf.mul(tf.mul(weights, gain), error)),
        metrics: [tf.sum(tf.mul(weights, error))],
      };
    },
  };
}

/**
 * Online Diffusion-DPO on the best and the worst image of each group: both get one noise and one time.
 * −log σ(−β/2 · ((e_w − e_w,ref) − (e_l − e_l,ref))), e the velocity's mean squared error.
 * Source: flow_grpo/scripts/train_sd3_dpo.py; Wallace et al. (arXiv 2311.12908).
 */
export function preference<C, P>(
  policy: Policy<C, P>,
  placement: Placement,
  { timesPerSample, beta }: { timesPerSample: number; beta: number },
): Objective<C> {
  return {
    metrics: ['implicitAccuracy', 'preferredError', 'rejectedError'],
    loss(trained, reference, condition, samples, rows, ready) {
      const pairs = rows.places.shape[0]! / 2;
      const points = noisyPoints(samples, rows, placement, timesPerSample, 2);
      const errors = (params: Params, given: Tensors | undefined) => {
        const velocity = velocityAt(policy, points, params, condition, given);
        const error = meanOverSample(tf.square(tf.sub(velocity, points.target)));
        return tf.reshape(error, [timesPerSample, 2, pairs]);
      };
      const side = (error: tf.Tensor, i: number) =>
        tf.reshape(tf.slice(error, [0, i, 0], [timesPerSample, 1, pairs]), [timesPerSample, pairs]);
      const own = errors(trained, ready?.trained);
      const gap = tf.sub(
        own,
        stopGradient(() => errors(reference, ready?.reference)),
      );
      const inside = tf.mul(-0.5 * beta, tf.sub(side(gap, 0), side(gap, 1)));
      const weights = tf.mul(2 / timesPerSample, tf.slice(rows.weights, [0], [pairs]));
      const total = (value: tf.Tensor) => tf.sum(tf.mul(weights, value));
      return {
        loss: total(tf.softplus(tf.neg(inside))),
        metrics: [
          total(tf.cast(tf.greater(detach(inside), 0), 'float32')),
          total(detach(side(own, 0))),
          total(detach(side(own, 1))),
        ],
      };
    },
  };
}

/** Points on straight lines from noise to samples, time-major; `sharing` consecutive parts share noise and time. */
function noisyPoints(
  samples: EpochSamples,
  { places, key }: PassRows,
  placement: Placement,
  timesPerSample: number,
  sharing: number,
) {
  const each = places.shape[0]! / sharing;
  const shape = samples.latents.shape.slice(1);
  const shared = (value: tf.Tensor) => {
    const [, , ...rest] = value.shape;
    const repeated = tf.tile(tf.expandDims(value, 1), [1, sharing, 1, ...rest.map(() => 1)]);
    return tf.reshape(repeated, [timesPerSample * sharing * each, ...rest]);
  };
  const noise = shared(random.normal(random.foldIn(key, 1), [timesPerSample, each, ...shape]));
  const t = shared(tf.sigmoid(random.normal(random.foldIn(key, 2), [timesPerSample, each]))) as tf.Tensor1D;
  const tile = (value: tf.Tensor) => tf.tile(value, [timesPerSample, ...value.shape.slice(1).map(() => 1)]);
  const data = tile(placement.take(samples.latents, places));
  const column = tf.reshape(t, [t.shape[0]!, ...shape.map(() => 1)]);
  return placement.rows({
    t,
    x: tf.add(tf.mul(tf.sub(1, column), noise), tf.mul(column, data)),
    target: tf.sub(data, noise),
    prompts: tile(tf.gather(samples.promptOf, places)) as tf.Tensor1D,
  });
}

/** What trains at points drawn anew, where there are no features. */
function velocityAt<C, P>(
  policy: Policy<C, P>,
  { x, t, prompts }: ReturnType<typeof noisyPoints>,
  params: Params,
  condition: C,
  given: Tensors | undefined,
): tf.Tensor {
  const prepared = (given ?? policy.prepare?.(params, condition, 'training')) as P;
  return policy.velocity(params, x, t, condition, prompts, prepared, 'training').velocity;
}

const detach = (value: tf.Tensor) => stopGradient(() => tf.clone(value));

/** [n] → [n · times], each entry repeated. */
function repeatRows(values: tf.Tensor1D, times: number): tf.Tensor1D {
  return tf.reshape(tf.tile(tf.expandDims(values, 1), [1, times]), [values.shape[0]! * times]);
}

/** The first `steps` of [b, W, …], as rows: [b · steps, …]. */
function stepRows(value: tf.Tensor, steps: number): tf.Tensor {
  const [count, , ...rest] = value.shape;
  const size = [count!, steps, ...rest];
  const begin = size.map(() => 0);
  return tf.reshape(tf.slice(value, begin, size), [count! * steps, ...rest]);
}

/** Those of [b, W, …] at int32 [s] `steps`, as rows: [b · s, …]. */
function rowsOfSteps(value: tf.Tensor, steps: tf.Tensor1D): tf.Tensor {
  const [count, , ...rest] = value.shape;
  return tf.reshape(tf.gather(value, steps, 1), [count! * steps.shape[0], ...rest]);
}
