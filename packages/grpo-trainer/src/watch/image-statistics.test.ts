import { COLORS, shapeScenes } from '@flow-grpo/datasets';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { randomAt } from '../random';
import { detectHacking } from './hacking';
import { imageStatistics, readImageStatistics } from './image-statistics';

const statisticsOf = (images: tf.Tensor4D, group = 1) => {
  const vector = imageStatistics(images, group);
  return readImageStatistics([vector.dataSync()]);
};
const flat = (count: number, side: number, color: readonly number[]) =>
  tf.tile(tf.reshape(tf.tensor1d([...color]), [1, 1, 1, 3]), [count, side, side, 1]) as tf.Tensor4D;

describe('imageStatistics', () => {
  it('of one colour', () => {
    const { brightness, ...rest } = statisticsOf(flat(4, 8, [0.1, 0.1, 0.15]), 2);
    expect(brightness).toBeCloseTo(0.299 * 0.1 + 0.587 * 0.1 + 0.114 * 0.15, 6);
    expect(rest.edgeDensity).toBe(0);
    expect(rest.sharpness).toBeCloseTo(0, 6);
    expect(rest.diversity).toBeCloseTo(0, 6);
    expect(rest).toMatchObject({ nearBlack: 1, nearWhite: 0, colorEntropy: 0 });
    expect(statisticsOf(flat(4, 8, [0.99, 1, 7]))).toMatchObject({
      nearBlack: 0,
      nearWhite: 1,
      brightness: expect.closeTo(0.997, 3),
    });
  });

  it('of a chess board: an edge at every pixel, two colours', () => {
    const board = Array.from({ length: 6 * 6 * 3 }, (_, i) => (Math.floor(i / 18) + Math.floor(i / 3)) % 2);
    const { edgeDensity, sharpness, colorEntropy } = statisticsOf(tf.tensor4d(board, [1, 6, 6, 3]));
    expect(edgeDensity).toBe(1);
    expect(sharpness).toBeCloseTo(4, 5);
    expect(colorEntropy).toBeCloseTo(Math.log(2), 6);
  });

  it('diversity is the deviation within groups, whatever lies between them', () => {
    const random = randomAt(5);
    const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const group = 8;
    const pixels = Array.from({ length: 4 * group }, (_, i) =>
      Array.from({ length: 16 * 16 * 3 }, () => 0.3 + 0.1 * Math.floor(i / group) + 0.05 * normal()),
    );
    const images = tf.tensor4d(pixels.flat(), [4 * group, 16, 16, 3]);
    expect(statisticsOf(images, group).diversity).toBeCloseTo(0.05, 3);
    // A batch that holds a part of each group estimates the same.
    expect(statisticsOf(images, 2).diversity).toBeCloseTo(0.05, 3);
    expect(statisticsOf(images, 1)).not.toHaveProperty('diversity');
  });

  it('leaves out what tiny images have not, and what is not finite', () => {
    expect(Object.keys(statisticsOf(flat(2, 1, [0.5, 0.5, 0.5])))).toEqual([
      'brightness',
      'nearBlack',
      'nearWhite',
      'colorEntropy',
    ]);
    expect(statisticsOf(flat(2, 4, [Number.NaN, 0, 0]))).not.toHaveProperty('brightness');
  });

  it('of batches is that of all images', () => {
    const images = tf.randomUniform([8, 20, 20, 3], 0, 1, 'float32', 3) as tf.Tensor4D;
    const halves = [0, 4].map((from) =>
      imageStatistics(tf.slice(images, from, 4) as tf.Tensor4D, 2).dataSync(),
    );
    const parts = readImageStatistics(halves);
    for (const [name, value] of Object.entries(statisticsOf(images, 2)))
      expect(parts[name as keyof typeof parts]).toBeCloseTo(value, 5);
  });

  it('leaves no tensor', () => {
    const images = flat(2, 8, [0.5, 0.5, 0.5]);
    const before = tf.memory().numTensors;
    imageStatistics(images, 2).dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

/** Half the quickstart's: statistics are shares, which hardly depend on it. */
const SIDE = 32;

/** Scenes as the quickstart's prompts ask for them; of the shapes whose colour is free, this share is black. */
function scenesWithBlack(share: number, count: number): tf.Tensor4D {
  const kinds = ['single_object', 'two_object', 'counting', 'position'] as const;
  const weights = { single_object: 0.02, two_object: 0.1, counting: 0.3, position: 0.3 };
  const free = (colors: typeof COLORS) => shapeScenes({ size: SIDE, seed: 1, kinds, weights, colors });
  const named = shapeScenes({
    size: SIDE,
    seed: 1,
    kinds: ['colors', 'color_attr'],
    weights: { colors: 0.08, color_attr: 0.2 },
  });
  const [black, bright] = [free(['black']), free(COLORS.filter((color) => color !== 'black'))];
  const random = randomAt(9);
  const images = Array.from({ length: count }, (_, i) => {
    const stream = random() < 0.28 ? named : random() < share ? black : bright;
    return stream.scene(i).image;
  });
  return tf.tensor4d(Float32Array.from(images.flatMap((image) => [...image])), [count, SIDE, SIDE, 3]);
}

describe("the quickstart's scenes", () => {
  /** Statistics of an epoch's scenes, by their share of black. */
  const [start, good, long] = [0.03, 0.18, 0.64].map((share) => statisticsOf(scenesWithBlack(share, 96)));

  it('have more near-black pixels the more of their free shapes are black', () => {
    expect(start!.nearBlack).toBeLessThan(0.008);
    expect(good!.nearBlack! - start!.nearBlack!).toBeLessThan(0.015);
    expect(long!.nearBlack! - start!.nearBlack!).toBeGreaterThan(0.03);
  });

  /** A run whose images go from those of the start to these while its reward rises. */
  const seen = (end: typeof start) => {
    const epochs = Array.from({ length: 60 }, (_, epoch) => {
      const done = Math.min(1, epoch / 40);
      const images = Object.entries(start!).map(([name, from]) => [
        `images.${name}`,
        from + done * (end![name as keyof typeof start] - from),
      ]);
      return { epoch, reward: 0.45 + 0.25 * done, rewardStd: 0.4, ...Object.fromEntries(images) };
    });
    return detectHacking(epochs, { window: 10, tolerance: 1 });
  };

  it('set the watch off by its default limits where 64 % are black, as after 128,000 images, not where 18 % are', () => {
    expect(seen(long).join()).toMatch(/near-black pixels take over/);
    expect(seen(good)).toEqual([]);
  });
});
