import {
  importanceRatio,
  klOfVelocities,
  logProbOfStep,
  sampleTrajectory,
  shiftedSchedule,
} from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';
import { velocityOf, type Weights } from './network';

/** Scores points [B, 2] on the host. */
export type Reward = (points: ArrayLike<number>) => number[];

export interface GrpoOptions {
  reward: Reward;
  epochs?: number;
  /** Samples an epoch: one group, as there is but one prompt. */
  group?: number;
  noiseLevel?: number;
  clipRange?: number;
  /** Weight of the KL divergence to the model as it was; without it the samples collapse to a few points. */
  klWeight?: number;
  seed?: number;
  onEpoch?: (epoch: number, meanReward: number) => void;
}

/**
 * Flow-GRPO in thirty lines: sample a group by the SDE, score it, and raise the log-probability of the steps of
 * samples that did better than the group, with PPO's clipping and a KL penalty. The model is only ever called as a velocity.
 */
export function tuneByGrpo(weights: Weights, options: GrpoOptions): void {
  const {
    reward,
    epochs = 24,
    group = 256,
    noiseLevel = 0.7,
    clipRange = 0.2,
    klWeight = 0.1,
    seed = 7,
    onEpoch,
  } = options;
  const optimizer = tf.train.adam(5e-4);
  const schedule = shiftedSchedule(12, 1);
  const velocity = (x: tf.Tensor, t: tf.Tensor1D) => velocityOf(weights, x, t);
  const reference = weights.map((weight) => tf.clone(weight));
  for (let epoch = 0; epoch < epochs; epoch++) {
    const run = sampleTrajectory(velocity, {
      schedule,
      noiseLevel,
      shape: [group, 2],
      seed,
      firstSample: epoch * group,
    });
    const rewards = reward(run.final.dataSync());
    const mean = rewards.reduce((sum, r) => sum + r, 0) / group;
    const deviation = Math.sqrt(rewards.reduce((sum, r) => sum + (r - mean) ** 2, 0) / group);
    const advantages = tf.tensor1d(rewards.map((r) => (r - mean) / (deviation + 1e-4)));
    onEpoch?.(epoch, mean);
    run.coefficients.forEach((step, k) => {
      const x = run.latents[k]!;
      const t = tf.fill([group], step.t) as tf.Tensor1D;
      optimizer.minimize(
        () => {
          const v = velocity(x, t);
          const logProb = logProbOfStep(step, { x, velocity: v, next: run.nextLatents[k]! });
          const ratio = importanceRatio(logProb, run.logProbs[k]!);
          const clipped = tf.clipByValue(ratio, 1 - clipRange, 1 + clipRange);
          const gain = tf.mean(tf.minimum(tf.mul(ratio, advantages), tf.mul(clipped, advantages)));
          const kl = tf.mean(klOfVelocities(step, v, velocityOf(reference, x, t)));
          return tf.sub(tf.mul(kl, klWeight), gain) as tf.Scalar;
        },
        false,
        weights,
      );
      t.dispose();
    });
    tf.dispose([run, advantages]);
  }
  tf.dispose(reference);
}
