import { initialNoise } from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';
import { boardData } from './checkerboard';
import { velocityOf, type Weights } from './network';

/** Flow matching: regress data − noise at (1 − t)·noise + t·data. Returns the mean loss of the last tenth. */
export function pretrain(weights: Weights, { steps = 1000, batch = 256, seed = 1 } = {}): number {
  let tail = 0;
  const optimizer = tf.train.adam(4e-3);
  for (let step = 0; step < steps; step++) {
    const loss = tf.tidy(() => {
      const data = boardData(batch, seed, step);
      const noise = initialNoise(seed + 1, [batch, 2], { firstSample: step * batch });
      // Stratified times: every batch sees all of them.
      const t = tf.tensor1d(Array.from({ length: batch }, (_, i) => (i + ((step * 0.618) % 1)) / batch));
      const column = tf.reshape(t, [-1, 1]);
      const x = tf.add(tf.mul(noise, tf.sub(1, column)), tf.mul(data, column));
      const target = tf.sub(data, noise);
      const cost = optimizer.minimize(
        () => tf.mean(tf.squaredDifference(velocityOf(weights, x, t), target)) as tf.Scalar,
        true,
        weights,
      );
      return cost!.dataSync()[0]!;
    });
    if (step >= steps * 0.9) tail += loss / Math.ceil(steps * 0.1);
    if (step === Math.floor(steps * 0.7)) setLearningRate(optimizer, 1e-3);
  }
  return tail;
}

/** tfjs' Adam keeps its rate in a protected field and has no setter. */
const setLearningRate = (optimizer: tf.AdamOptimizer, rate: number) =>
  Object.assign(optimizer, { learningRate: rate });
