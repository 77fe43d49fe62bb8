import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededNoise } from '../random/noise';
import { hostCoefficients } from '../steps/coefficients';
import { logProbOf, sdeStep } from '../steps/step';
import { gaussianKl, guardedRatio, guardedWeight, importanceRatio, klOfVelocities, logRatio } from './index';

const shape = [4, 64];
const ids = [0, 1, 2, 3];
const [x, velocity, noise, change] = [0, 1, 2, 3].map((step) =>
  seededNoise(8)({ step, shape, sampleIds: ids }),
) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
const spec = { t: 0.3, tNext: 0.38, noiseLevel: 0.7, x };
const old = sdeStep({ ...spec, velocity, noise });
const std = old.std as number;
const close = (actual: tf.Tensor, expected: tf.Tensor, digits: number) =>
  [...actual.dataSync()].forEach((value, i) => {
    expect(value).toBeCloseTo(expected.dataSync()[i]!, digits);
  });

describe('KL divergence', () => {
  it('is (a − b)²/(2·std²), averaged, from means and from velocities', () => {
    const moved = tf.add(velocity, tf.mul(change, 0.1));
    const c = hostCoefficients({}, 0.3, 0.38, 0.7);
    const { mean } = sdeStep({ ...spec, velocity: moved, noise });
    const byHand = tf.div(tf.mean(tf.square(tf.sub(mean, old.mean)), 1), 2 * std * std);
    close(gaussianKl(mean, old.mean, std), byHand, 6);
    close(klOfVelocities(c, moved, velocity), byHand, 6);
    close(gaussianKl(mean, old.mean, [std, std, std, std]), byHand, 6);
    expect(() => klOfVelocities(hostCoefficients({}, 0.3, 0.38, 0), moved, velocity)).toThrow(/no KL/);
  });

  it('is what the log-ratio is on average under the new policy', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -1, max: 1, noNaN: true }),
        fc.double({ min: 0.2, max: 2, noNaN: true }),
        (gap, width) => {
          const n = 4001;
          const next = tf.linspace(gap - 8 * width, gap + 8 * width, n);
          const density = tf.exp(tf.neg(tf.div(tf.square(tf.sub(next, gap)), 2 * width ** 2)));
          const ratio = logRatio({
            mean: tf.fill([n, 1], gap),
            oldMean: tf.zeros([n, 1]),
            next: tf.reshape(next, [n, 1]),
            std: width,
          });
          const average = tf.div(tf.sum(tf.mul(density, ratio)), tf.sum(density)).dataSync()[0]!;
          expect(average).toBeCloseTo(gap ** 2 / (2 * width ** 2), 3);
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe('importance ratio', () => {
  it('is that of the log-probabilities, and 1 for the same policy', () => {
    const moved = tf.add(velocity, tf.mul(change, 0.2));
    const { mean } = sdeStep({ ...spec, velocity: moved, noise });
    const logProb = logProbOf(old.next, { ...spec, velocity: moved });
    close(
      tf.exp(logRatio({ mean, oldMean: old.mean, next: old.next, std })),
      importanceRatio(logProb, old.logProb!),
      4,
    );
    expect([...importanceRatio(old.logProb!, old.logProb!).dataSync()]).toEqual([1, 1, 1, 1]);
  });

  it('formed from means keeps digits that the difference of log-probabilities loses', () => {
    const tiny = 1e-5;
    const mean = tf.add(old.mean, tf.mul(change, tiny * std));
    const [w, d] = [noise.dataSync(), change.dataSync()];
    const direct = logRatio({ mean, oldMean: old.mean, next: old.next, std }).dataSync();
    for (let row = 0; row < 4; row++) {
      let sum = 0;
      for (let i = row * 64; i < row * 64 + 64; i++) sum += tiny * d[i]! * w[i]! - (tiny * d[i]!) ** 2 / 2;
      expect(Math.abs(direct[row]! - sum / 64)).toBeLessThan(2e-7);
    }
  });
});

describe('GRPO-Guard', () => {
  it("takes the bias out of the log-ratio, and the step's size out of its spread", () => {
    const n = 4000;
    const many = Array.from({ length: n }, (_, i) => i);
    const spread = [0.2, 0.8].map((width) => {
      // The same move of the mean in units of what a velocity does, at a narrow and a wide step.
      const oldMean = tf.zeros([n, 4]);
      const mean = tf.fill([n, 4], 0.3);
      const next = tf.mul(seededNoise(1)({ step: 0, shape: [n, 4], sampleIds: many }), width);
      const raw = logRatio({ mean, oldMean, next, std: width });
      const guarded = tf.log(guardedRatio(raw, tf.zeros([n]), { mean, oldMean, std: width }));
      const average = (v: tf.Tensor) => tf.mean(v).dataSync()[0]!;
      expect(average(raw)).toBeLessThan(-0.05);
      expect(Math.abs(average(guarded))).toBeLessThan(0.01);
      return Math.sqrt(average(tf.square(guarded)));
    });
    expect(spread[0]! / spread[1]!).toBeGreaterThan(0.9);
    expect(spread[0]! / spread[1]!).toBeLessThan(1.1);
  });

  it('weights a step by 1/dt and takes per-sample std', () => {
    expect(guardedWeight(0.25)).toBe(4);
    expect(() => guardedWeight(0)).toThrow(RangeError);
    const two = { mean: tf.ones([2, 3]), oldMean: tf.zeros([2, 3]) };
    const ratio = guardedRatio(tf.tensor1d([0.1, 0.1]), tf.zeros([2]), { ...two, std: [1, 2] }).dataSync();
    expect(ratio[0]).toBeCloseTo(Math.exp(0.1 + 0.5), 5);
    expect(ratio[1]).toBeCloseTo(Math.exp((0.1 + 0.125) * 2), 5);
  });
});
