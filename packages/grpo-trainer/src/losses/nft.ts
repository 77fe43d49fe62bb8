/** DiffusionNFT's loss: forward-process matching towards and away from what the old policy drew. */
import * as tf from '@tensorflow/tfjs-core';
import { adaptiveWeight, alongRows, meanSquare, weighted } from './rows';

/** Which advantages count: DiffusionNFT's `adv_mode`. */
export type AdvantageMode = 'all' | 'positive_only' | 'negative_only' | 'one_only' | 'binary';

/**
 * How good an image is among its group, in 0..1: clamp(A / 2C + 1/2), with A clipped to [−C, C]. An image of advantage 0 has
 * 1/2, which still trains.
 *
 * @param advantages [n]
 * @param advClipMax C
 */
export function optimality(
  advantages: tf.Tensor,
  advClipMax: number,
  mode: AdvantageMode = 'all',
): tf.Tensor1D {
  const low = mode === 'positive_only' ? 0 : -advClipMax;
  const high = mode === 'negative_only' ? 0 : advClipMax;
  const clipped = tf.clipByValue(advantages, low, high);
  const used =
    mode === 'one_only'
      ? tf.cast(tf.greater(clipped, 0), 'float32')
      : mode === 'binary'
        ? tf.sign(clipped)
        : clipped;
  return tf.clipByValue(tf.add(tf.div(tf.div(used, advClipMax), 2), 0.5), 0, 1) as tf.Tensor1D;
}

export interface NftOptions {
  /** Strength of the mixture (upstream `config.beta`): v± = v_old ± beta·(v − v_old). Above 0. */
  readonly beta: number;
  /** C, the advantage that counts as certain (`train.adv_clip_max`); the policy's term is multiplied by it. */
  readonly advClipMax: number;
  /** Weight of the KL on the velocity (`config.train.beta`). */
  readonly klWeight: number;
  /**
   * Makes the KL's penalty kl + kl² / 2·klTarget for each row, whose gradient is that of a weight that grows with the distance:
   * twice as large at the target. Without it, as upstream, the penalty is kl.
   */
  readonly klTarget?: number | undefined;
}

/** Rows [n, …]: noised samples x at times t [n], the samples themselves, and velocities there. */
export interface NftInputs {
  readonly x: tf.Tensor;
  readonly t: tf.Tensor;
  readonly data: tf.Tensor;
  readonly velocity: tf.Tensor;
  /** Of the old policy, without gradient. */
  readonly oldVelocity: tf.Tensor;
  /** Of the reference, without gradient; without it there is no KL. */
  readonly referenceVelocity?: tf.Tensor | undefined;
  /** [n], in 0..1: see `optimality`. */
  readonly rho: tf.Tensor;
  /** [n], sums to 1. */
  readonly weights: tf.Tensor;
}

/**
 * C · mean[(ρ·loss₊ + (1 − ρ)·loss₋) / β] + klWeight · mean (v − v_ref)², where
 * v₊ = β·v + (1 − β)·v_old, v₋ = (1 + β)·v_old − β·v, loss± = mean (x1± − data)² / w± with x1± = x + (1 − t)·v±, and
 * w± = mean |x1± − data| without gradient.
 *
 * Source: DiffusionNFT (arXiv 2509.16117, eq. 5); NVlabs/DiffusionNFT scripts/train_nft_sd3.py.
 *
 * @returns scalars policy, kl and total, and the terms of each row [n]
 */
export function nftLoss(
  { x, t, data, velocity, oldVelocity, referenceVelocity, rho, weights }: NftInputs,
  { beta, advClipMax, klWeight, klTarget }: NftOptions,
) {
  const left = alongRows(tf.sub(1, t), x);
  const side = (v: tf.Tensor) => {
    const predicted = tf.add(x, tf.mul(left, v));
    const weight = adaptiveWeight(predicted, data);
    return { predicted, weight, loss: tf.div(meanSquare(predicted, data), weight) };
  };
  const plus = side(tf.add(tf.mul(beta, velocity), tf.mul(1 - beta, oldVelocity)));
  const minus = side(tf.sub(tf.mul(1 + beta, oldVelocity), tf.mul(beta, velocity)));
  const policyRows = tf.div(
    tf.add(tf.mul(rho, plus.loss), tf.mul(tf.sub(1, rho), minus.loss)),
    beta,
  ) as tf.Tensor1D;
  const policy = tf.mul(advClipMax, weighted(weights, policyRows)) as tf.Scalar;
  const klRows = referenceVelocity && meanSquare(velocity, referenceVelocity);
  const kl = klRows ? weighted(weights, klRows) : tf.scalar(0);
  const penalty =
    klRows && klTarget !== undefined
      ? weighted(weights, tf.add(klRows, tf.div(tf.square(klRows), 2 * klTarget)) as tf.Tensor1D)
      : kl;
  const total = klRows ? (tf.add(policy, tf.mul(klWeight, penalty)) as tf.Scalar) : policy;
  return { plus, minus, policyRows, klRows, policy, kl, total };
}
