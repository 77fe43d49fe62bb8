import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import * as random from './random';
import { threefry2x32 } from './threefry';

describe('Threefry-2x32', () => {
  // Known answers of the Random123 distribution (kat_vectors, threefry2x32 20).
  it.each([
    [
      [0, 0],
      [0, 0],
      [0x6b200159, 0x99ba4efe],
    ],
    [
      [-1, -1],
      [-1, -1],
      [0x1cb996fc, 0xbb002be7],
    ],
    [
      [0x13198a2e, 0x03707344],
      [0x243f6a88, 0x85a308d3],
      [0xc4923a9c, 0x483df7a0],
    ],
  ])('key %s counter %s', (key, counter, expected) => {
    const [a, b] = threefry2x32(key as [number, number], counter[0]!, counter[1]!);
    expect([a >>> 0, b >>> 0]).toEqual(expected);
  });
});

describe('random', () => {
  it('gives a prefix of a larger draw for a smaller one', () => {
    const key = random.key(7);
    const large = random.normal(key, [6, 5]).dataSync();
    expect([...random.normal(key, [2, 5]).dataSync()]).toEqual([...large.slice(0, 10)]);
  });

  it('has the moments of a normal distribution', () => {
    const n = 40_000;
    const { mean, variance } = tf.moments(random.normal(random.key(1), [n]));
    expect(Math.abs(mean.dataSync()[0]!)).toBeLessThan(4 / Math.sqrt(n));
    expect(Math.abs(variance.dataSync()[0]! - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
  });

  it('is uniform in [0, 1)', () => {
    const values = random.uniform(random.key(3), [10_000]).dataSync();
    const counts = new Array<number>(10).fill(0);
    for (const value of values) counts[Math.floor(value * 10)]!++;
    const chiSquared = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(chiSquared).toBeLessThan(27.9); // 9 degrees of freedom, p = 0.001
  });

  it('separates keys by split, fold and seed', () => {
    const key = random.key(5);
    const keys = [key, ...random.split(key, 3), random.foldIn(key, 9), random.key(6), random.key(2 ** 40)];
    const draws = keys.map((k) => random.uniform(k, [4]).dataSync().join());
    expect(new Set(draws).size).toBe(keys.length);
  });

  it('refuses a tensor that is no key', () => {
    expect(() => random.normal(tf.tensor1d([1, 2]), [3])).toThrow(/int32 \[2\]/);
    expect(() => random.key(0.5)).toThrow(/integer/);
  });
});
