import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Convention,
  convertTime,
  convertVelocity,
  fromDataTime,
  scoreFromVelocity,
  sd3Convention,
  showo2Convention,
  sigmaAt,
  toDataTime,
  velocityFromScore,
} from './conventions';

/** A model that takes a timestep of 1000·sigma, to show that a convention is only data. */
const thousand: Convention = { name: 'thousand', noiseTime: 1000, dataTime: 0, velocitySign: -1 };
const conventions = fc.constantFrom(showo2Convention, sd3Convention, thousand);
const inside = fc.double({ min: 0.01, max: 0.99, noNaN: true });

describe('conventions', () => {
  it('times survive a round trip between any two', () => {
    fc.assert(
      fc.property(conventions, conventions, inside, (a, b, t) => {
        const time = fromDataTime(t, a);
        expect(convertTime(convertTime(time, a, b), b, a)).toBeCloseTo(time, 9);
        expect(toDataTime(convertTime(time, a, b), b)).toBeCloseTo(t, 12);
      }),
    );
  });

  it('velocities survive a round trip, and data − noise becomes noise − data', () => {
    const v = tf.tensor2d([[1, -2]]);
    expect([...convertVelocity(v, showo2Convention, sd3Convention).dataSync()]).toEqual([-1, 2]);
    expect([
      ...convertVelocity(
        convertVelocity(v, showo2Convention, sd3Convention),
        sd3Convention,
        showo2Convention,
      ).dataSync(),
    ]).toEqual([1, -2]);
  });

  it('sigma at the same instant and noise level is the same number', () => {
    fc.assert(
      fc.property(conventions, inside, fc.double({ min: 0, max: 2, noNaN: true }), (convention, t, level) => {
        const sigma = sigmaAt(fromDataTime(t, convention), level, convention);
        expect(sigma).toBeCloseTo(level * Math.sqrt((1 - t) / t), 9);
      }),
    );
    expect(() => sigmaAt(0, 0.7)).toThrow(/infinite at pure noise/);
    expect(() => sigmaAt(1, 0.7, sd3Convention)).toThrow(/infinite at pure noise/);
    expect(() => sigmaAt(1.5, 0.7)).toThrow(/outside/);
    expect(sigmaAt(1, 0.7)).toBe(0);
  });

  it('score and velocity are inverse to one another, and the score does not depend on the convention', () => {
    fc.assert(
      fc.property(
        conventions,
        inside,
        fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 4, maxLength: 4 }),
        (convention, t, values) => {
          const [x, v] = [tf.tensor2d(values.slice(0, 2), [2, 1]), tf.tensor2d(values.slice(2), [2, 1])];
          const time = fromDataTime(t, convention);
          const own = convertVelocity(v, showo2Convention, convention);
          const score = scoreFromVelocity(own, x, time, convention);
          const values0 = x.dataSync();
          const expected = [...v.dataSync()].map((vi, i) => (t * vi - values0[i]!) / (1 - t));
          [...score.dataSync()].forEach((s, i) => {
            expect(Math.abs(s - expected[i]!)).toBeLessThan(2e-6 * (1 + 1 / (1 - t)) * 10);
          });
          const back = velocityFromScore(score, x, [time, time], convention).dataSync();
          [...own.dataSync()].forEach((value, i) => {
            expect(Math.abs(value - back[i]!)).toBeLessThan(1e-5 / t);
          });
        },
      ),
      { numRuns: 50 },
    );
  });

  it('a score at data and a velocity from the score of pure noise are refused', () => {
    const x = tf.zeros([1, 1]);
    expect(() => scoreFromVelocity(x, x, 1)).toThrow(RangeError);
    expect(() => velocityFromScore(x, x, 0)).toThrow(RangeError);
  });
});
