/** Centred reward distillation: the model's implicit reward, centred over a group, is fitted to the centred advantage. */
import * as tf from '@tensorflow/tfjs-core';
import { adaptiveWeight, detach, meanSquare, sameGroup, weighted } from './rows';

export interface CrdOptions {
  /** Scale of the implicit reward (upstream `crd_beta`). Above 0. */
  readonly beta: number;
  /** C (`adv_clip_range`): the policy's term is multiplied by C / beta. */
  readonly advClipMax: number;
  /** Weight of the KL on the velocity (`kl_beta`). */
  readonly klWeight: number;
  /** The KL of poor samples counts less: times m + ρ·(1 − m), m = 1e-4 / klWeight. */
  readonly rewardAdaptiveKl: boolean;
  /** Squared errors are divided by their adaptive weights (`adaptive_logp`). */
  readonly adaptiveWeight: boolean;
  /**
   * Means that centre are weighted by softmax(±ρ / temperature), and the two directions averaged; below 0 they are plain means.
   * 0 takes the samples of ρ > 0, then those of ρ < 0, of which there are none.
   */
  readonly weightTemp: number;
  readonly loss: 'mse' | 'bce';
}

/** Rows [n, …] of one time. */
export interface CrdInputs {
  /** data − noise */
  readonly target: tf.Tensor;
  readonly velocity: tf.Tensor;
  /** Without gradient. */
  readonly oldVelocity: tf.Tensor;
  /** Without gradient, guided where the KL is to a guided reference; without it there is no KL. */
  readonly referenceVelocity?: tf.Tensor | undefined;
  /** [n], in 0..1: `optimality` of the advantages. */
  readonly rho: tf.Tensor;
  /** [n] what is centred together, whole numbers: the prompts' groups (the paper), or one for all (Flow-Factory). */
  readonly group: tf.Tensor;
  /** [n], sums to 1. */
  readonly weights: tf.Tensor;
}

/** The KL weight at which every sample's KL counts fully. */
const BASE_KL = 1e-4;

/**
 * C / β · mean (β·R_centred − ρ_centred)² + klWeight · mean(kl), where
 * R = −mean[(v − target)² / w − (v_old − target)² / w_old] is the implicit reward and the mean that centres it has no gradient.
 *
 * Source: Centered Reward Distillation (arXiv 2603.14128); X-GenGroup/Flow-Factory src/flow_factory/trainers/crd.py.
 *
 * @returns scalars policyUnscaled, policy, klLoss and total; for each row [n] reward, the centred pairs of each direction,
 * klRows, klFactor, and the adaptive weights
 */
export function crdLoss(inputs: CrdInputs, options: CrdOptions) {
  const { target, velocity, oldVelocity, referenceVelocity, rho, group, weights } = inputs;
  const { beta, advClipMax, klWeight, weightTemp } = options;
  const [weight, oldWeight] = options.adaptiveWeight
    ? [adaptiveWeight(velocity, target), adaptiveWeight(oldVelocity, target)]
    : [undefined, undefined];
  const own = meanSquare(velocity, target);
  const old = meanSquare(oldVelocity, target);
  const reward = tf.sub(oldWeight ? tf.div(old, oldWeight) : old, weight ? tf.div(own, weight) : own);

  // Padding and dropped images centre nothing.
  const together = tf.mul(sameGroup(group), tf.cast(tf.greater(weights, 0), 'float32'));
  const centred = centringWeights(rho, together, weightTemp).map((share) => {
    const mean = (rows: tf.Tensor) => tf.reshape(tf.matMul(share, tf.expandDims(rows, 1)), [-1]);
    return { reward: tf.sub(reward, mean(detach(reward))), rho: tf.sub(rho, mean(rho)) };
  });
  const fits = centred.map((pair) =>
    weighted(weights, fit[options.loss](tf.mul(beta, pair.reward), pair.rho)),
  );
  const policyUnscaled = fits.length === 1 ? fits[0]! : tf.mul(0.5, tf.add(fits[0]!, fits[1]!));
  const policy = tf.mul(advClipMax / beta, policyUnscaled);

  const klRows = referenceVelocity && meanSquare(velocity, referenceVelocity);
  const least = BASE_KL / Math.max(klWeight, 1e-8);
  const klFactor = options.rewardAdaptiveKl ? tf.add(least, tf.mul(rho, 1 - least)) : undefined;
  const klLoss = klRows
    ? tf.mul(klWeight, weighted(weights, klFactor ? tf.mul(klFactor, klRows) : klRows))
    : tf.scalar(0);
  const total = (klRows ? tf.add(policy, klLoss) : policy) as tf.Scalar;
  return { reward, centred, weight, oldWeight, klRows, klFactor, policyUnscaled, policy, klLoss, total };
}

/** What a centred implicit reward costs against the centred advantage it is to have, row by row. */
const fit = {
  mse: (logits: tf.Tensor, wanted: tf.Tensor) => tf.square(tf.sub(logits, wanted)),
  bce: (logits: tf.Tensor, wanted: tf.Tensor) =>
    tf.sub(tf.softplus(logits), tf.mul(tf.sigmoid(wanted), logits)),
};

/** For each direction, the share [n, n] that every row's mean gives to the others of its group. */
function centringWeights(rho: tf.Tensor, together: tf.Tensor, weightTemp: number): tf.Tensor[] {
  if (weightTemp < 0) return [normalised(together)];
  return [1, -1].map((sign) => {
    if (weightTemp > 0) return normalised(tf.mul(together, tf.exp(tf.mul(sign / weightTemp, rho))));
    const chosen = tf.cast(sign > 0 ? tf.greater(rho, 0) : tf.less(rho, 0), 'float32');
    const picked = tf.mul(together, tf.mul(chosen, tf.exp(rho)));
    const any = tf.greater(tf.sum(picked, 1, true), 0);
    return normalised(tf.where(tf.broadcastTo(any, together.shape), picked, together));
  });
}

/** Rows that sum to 1; one without any entry stays 0. */
const normalised = (rows: tf.Tensor): tf.Tensor => tf.div(rows, tf.maximum(tf.sum(rows, 1, true), 1e-30));
