import { importanceRatio, logProbOfStep, sampleTrajectory, shiftedSchedule } from '@flow-grpo/sde-sampler';
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
  seed?: number;
  onEpoch?: (epoch: number, meanReward: number) => void;
}

/**
 * Flow-GRPO in thirty lines: sample a group by the SDE, score it, and raise the log-probability of the steps of
 * samples that did better than the group, with PPO's clipping. The model is only ever called as a velocity.
 */
export function tuneByGrpo(weights: Weights, options: GrpoOptions): void {
  const { reward, epochs = 50, group = 256, noiseLevel = 0.7, clipRange = 0.2, seed = 7, onEpoch } = options;
  const optimizer = tf.train.adam(1e-3);
  const schedule = shiftedSchedule(12, 1);
  const velocity = (x: tf.Tensor, t: tf.Tensor1D) => velocityOf(weights, x, t);
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
          const logProb = logProbOfStep(step, { x, velocity: velocity(x, t), next: run.nextLatents[k]! });
          const ratio = importanceRatio(logProb, run.logProbs[k]!);
          const clipped = tf.clipByValue(ratio, 1 - clipRange, 1 + clipRange);
          return tf.neg(
            tf.mean(tf.minimum(tf.mul(ratio, advantages), tf.mul(clipped, advantages))),
          ) as tf.Scalar;
        },
        false,
        weights,
      );
      t.dispose();
    });
    tf.dispose([run.final, advantages, ...run.latents, ...run.nextLatents, ...run.means]);
    tf.dispose(run.logProbs.map((logProb) => logProb!));
  }
}
