/** Advantage weighted matching: the flow-matching error as a log-probability, in PPO's clipped loss. */
import { importanceRatio } from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';
import { clippedPolicyLoss } from '../maths/loss';
import { detach, meanSquare, weighted } from './rows';

/** How errors at different times are weighted: upstream's `weighting`. s = 1 − t is the share of noise. */
export type AwmWeighting = 'Uniform' | 't' | 't**2' | 'huber' | 'ghuber';

const HUBER_EPSILON = 1e-10;

/**
 * The log-probability [n] that AWM gives a sample from the squared error of its velocity: −e (Uniform), −s·e (t),
 * −s²·e (t**2), −s·(√(e + 1e-10) − 1e-5) (huber), −(s / p)·((e + 1e-10)^p − 1e-10^p) (ghuber).
 *
 * @param error mean (v − target)², [n]
 * @param t times, 0 noise, 1 data, [n]
 * @param ghuberPower p
 */
export function awmLogProb(
  error: tf.Tensor,
  t: tf.Tensor,
  weighting: AwmWeighting,
  ghuberPower: number,
): tf.Tensor1D {
  const noise = tf.sub(1, t);
  const scaled = {
    Uniform: () => error,
    t: () => tf.mul(noise, error),
    't**2': () => tf.mul(tf.square(noise), error),
    huber: () => tf.mul(noise, tf.sub(tf.sqrt(tf.add(error, HUBER_EPSILON)), Math.sqrt(HUBER_EPSILON))),
    ghuber: () =>
      tf.mul(
        tf.div(noise, ghuberPower),
        tf.sub(tf.pow(tf.add(error, HUBER_EPSILON), ghuberPower), HUBER_EPSILON ** ghuberPower),
      ),
  }[weighting];
  return tf.neg(scaled()) as tf.Tensor1D;
}

/**
 * The advantages as AWM's loss takes them, [n]: clipped to [−C, C], then A / C · `advantageMax`; null leaves them clipped.
 */
export function awmAdvantages(
  advantages: tf.Tensor,
  advClipMax: number,
  advantageMax: number | null,
): tf.Tensor1D {
  const clipped = tf.clipByValue(advantages, -advClipMax, advClipMax);
  return (advantageMax === null ? clipped : tf.mul(tf.div(clipped, advClipMax), advantageMax)) as tf.Tensor1D;
}

export interface AwmOptions {
  readonly weighting: AwmWeighting;
  readonly ghuberPower: number;
  /** The ratio is clamped to [1 − clipRange, 1 + clipRange]. */
  readonly clipRange: number;
  /** Weight of the penalty towards the reference (upstream `beta`). */
  readonly betaRef: number;
  /** Weight of the penalty towards the slow weights (`ema_beta`). */
  readonly etaSlow: number;
  /** One ratio for each time, or one for each image, of its mean log-probability over the times. */
  readonly ratioOf: 'time' | 'image';
  /** 'ELBO' divides the penalties by 2·std², std = 0.7·√(s / (1 − min(s, 0.99))). */
  readonly penalty: 'Uniform' | 'ELBO';
  readonly advClipMax: number;
  readonly advantageMax: number | null;
}

/** Rows [T·B, …], time-major: the B images at the first time, then at the second … */
export interface AwmInputs {
  readonly t: tf.Tensor;
  /** data − noise */
  readonly target: tf.Tensor;
  readonly velocity: tf.Tensor;
  /** Of the policy that drew the images, without gradient. Without it that is the policy as it is: a ratio of exactly 1. */
  readonly oldVelocity?: tf.Tensor | undefined;
  readonly referenceVelocity?: tf.Tensor | undefined;
  readonly slowVelocity?: tf.Tensor | undefined;
  /** [B] */
  readonly advantages: tf.Tensor;
  /** [B], sums to 1. */
  readonly weights: tf.Tensor;
}

/**
 * mean max(−a·ratio, −a·clamp(ratio)) + betaRef · mean (v − v_ref)² + etaSlow · mean (v − v_slow)².
 *
 * Source: Advantage Weighted Matching (arXiv 2509.25050);
 * scxue/advantage_weighted_matching advantage_weighted_matching/scripts/train_sd3_awm.py.
 *
 * @returns scalars policy, klRef, klSlow and total; error, logProb and oldLogProb [T, B]; ratio [T, B] or [B]; a [B]
 */
export function awmLoss(inputs: AwmInputs, options: AwmOptions) {
  const { t, target, velocity, oldVelocity, referenceVelocity, slowVelocity, weights } = inputs;
  const images = weights.shape[0]!;
  const times = t.shape[0]! / images;
  const perTime = (rows: tf.Tensor) => tf.reshape(rows, [times, images]);
  const logProbOf = (error: tf.Tensor) => awmLogProb(error, t, options.weighting, options.ghuberPower);
  const error = meanSquare(velocity, target);
  const logProb = perTime(logProbOf(error));
  const oldLogProb = oldVelocity
    ? detach(perTime(logProbOf(meanSquare(oldVelocity, target))))
    : detach(logProb);

  const byImage = options.ratioOf === 'image';
  const meanTime = (value: tf.Tensor) => (byImage ? tf.mean(value, 0) : value);
  const ratio = importanceRatio(meanTime(logProb), meanTime(oldLogProb)) as tf.Tensor;
  const advantages = awmAdvantages(inputs.advantages, options.advClipMax, options.advantageMax);
  const a = byImage ? advantages : tf.tile(tf.expandDims(advantages, 0), [times, 1]);
  const clipped = clippedPolicyLoss(ratio, a, { clipRange: options.clipRange, advClipMax: LARGE });
  const imageLoss = byImage ? clipped : tf.mean(clipped, 0);
  const policy = weighted(weights, imageLoss);

  const noise = tf.sub(1, t);
  const scale =
    options.penalty === 'ELBO'
      ? tf.div(tf.sub(1, tf.minimum(noise, 0.99)), tf.mul(2 * 0.7 ** 2, noise))
      : undefined;
  const penalty = (other: tf.Tensor | undefined) => {
    if (!other) return tf.scalar(0);
    const rows = meanSquare(velocity, other);
    return weighted(weights, tf.mean(perTime(scale ? tf.mul(rows, scale) : rows), 0));
  };
  const [klRef, klSlow] = [penalty(referenceVelocity), penalty(slowVelocity)];
  let total = policy;
  if (referenceVelocity) total = tf.add(total, tf.mul(options.betaRef, klRef));
  if (slowVelocity) total = tf.add(total, tf.mul(options.etaSlow, klSlow));
  return { error: perTime(error), logProb, oldLogProb, ratio, a: advantages, policy, klRef, klSlow, total };
}

/** The advantages are clipped already. */
const LARGE = 1e30;
