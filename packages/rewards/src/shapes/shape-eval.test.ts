import {
  GENEVAL_TAGS,
  type GenevalMetadata,
  PALETTE,
  type ShapeScene,
  sceneBatch,
  shapeScenes,
} from '@flow-grpo/datasets';
import * as tf from '@tensorflow/tfjs-core';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { describeScenes, findShapes, freeColors, judge, sceneDiversity, shapeEval } from './index';
import { take } from './scenes.testing';

const passes = ({ image, size, metadata }: ShapeScene) =>
  judge(findShapes({ data: image, width: size, height: size }), metadata).strict;

describe('what should not pass', () => {
  const [circle] = take(1, { size: 64, kinds: ['colors'], shapes: ['circle'], colors: ['red', 'blue'] });
  const drawn = circle!.objects[0]!;

  it('a shape of two colours', () => {
    const image = circle!.image.slice();
    const other = PALETTE[drawn.color === 'red' ? 'blue' : 'red'];
    for (let y = 0; y < 64; y++) {
      for (let x = Math.round(drawn.x * 64); x < 64; x++) {
        if (Math.hypot(x + 0.5 - 64 * drawn.x, y + 0.5 - 64 * drawn.y) > 64 * drawn.radius) continue;
        image.set(other, 3 * (y * 64 + x));
      }
    }
    const [found] = findShapes({ data: image, width: 64, height: 64 });
    expect(found?.color).toBeNull();
    expect(passes({ ...circle!, image })).toBe(0);
  });

  it('a blot without an outline, an empty page, and a page full of ink', () => {
    const blot = new Float32Array(64 * 64 * 3).fill(0.95);
    for (let y = 0; y < 64; y++) {
      for (let x = 0; x < 64; x++) {
        const inside = (y > 20 && y < 26 && x > 8 && x < 50) || (x > 8 && x < 14 && y > 20 && y < 55);
        if (inside) blot.set(PALETTE.red, 3 * (y * 64 + x));
      }
    }
    const found = findShapes({ data: blot, width: 64, height: 64 });
    expect(found.map(({ shape, color }) => [shape, color])).toEqual([[null, 'red']]);
    const page = (level: number) =>
      findShapes({ data: new Float32Array(64 * 64 * 3).fill(level), width: 64, height: 64 });
    expect(page(1)).toEqual([]);
    expect(judge(page(1), circle!.metadata)).toEqual({ strict: 0, partial: 0 });
    expect(judge(page(0), circle!.metadata).strict).toBe(0);
    expect(judge(page(Number.NaN), circle!.metadata).strict).toBe(0);
  });
});

describe('judge', () => {
  const thing = (shape: 'circle' | 'square', color: 'red' | 'blue', x: number, y: number) => ({
    ...{ shape, color, x, y, radius: 0.1, fit: 1, purity: 1 },
  });
  const metadata: GenevalMetadata = {
    tag: 'position',
    include: [
      { class: 'square', count: 1, color: 'blue' },
      { class: 'circle', count: 1, color: 'red', position: ['left of', 0] },
    ],
    prompt: 'a red circle left of a blue square',
  };
  const square = thing('square', 'blue', 0.7, 0.5);
  const at = (x: number, y: number) => judge([thing('circle', 'red', x, y), square], metadata);

  it('wants a relation within 30° of its axis and fades the partial score from there', () => {
    expect(at(0.3, 0.5)).toEqual({ strict: 1, partial: 1 });
    expect(at(0.3, 0.72).strict).toBe(1);
    expect(at(0.3, 0.75).strict).toBe(0);
    const slanted = [0.75, 0.85, 0.95].map((y) => at(0.3, y).partial);
    expect(slanted[0]).toBeLessThan(1);
    expect(slanted[1]).toBeLessThan(slanted[0]!);
    expect(slanted[2]).toBeLessThan(slanted[1]!);
    expect(at(0.9, 0.5)).toEqual({ strict: 0, partial: 0.6 });
    expect(judge([thing('circle', 'red', 0.3, 0.75), square], metadata, { maxAngle: 45 }).strict).toBe(1);
  });

  it('gives half for a shape of another colour, and takes off for what was not asked for', () => {
    const one: GenevalMetadata = {
      tag: 'colors',
      include: [{ class: 'circle', count: 1, color: 'red' }],
      prompt: '',
    };
    expect(judge([thing('circle', 'blue', 0.5, 0.5)], one)).toEqual({ strict: 0, partial: 0.5 });
    const extra = [thing('circle', 'red', 0.2, 0.5), square];
    expect(judge(extra, one)).toEqual({ strict: 0, partial: 0.5 });
    expect(judge(extra, one, { allowOthers: true })).toEqual({ strict: 1, partial: 1 });
  });

  it('counts, and heeds exclude even where others are allowed', () => {
    const two: GenevalMetadata = {
      ...{ tag: 'counting', prompt: '', include: [{ class: 'circle', count: 2 }] },
      exclude: [{ class: 'circle', count: 3 }],
    };
    const circles = [0.2, 0.5, 0.8].map((x) => thing('circle', 'red', x, 0.5));
    expect(judge(circles.slice(1), two, { allowOthers: true }).strict).toBe(1);
    expect(judge(circles, two, { allowOthers: true })).toEqual({ strict: 0, partial: 2 / 3 });
    expect(judge(circles.slice(2), two).partial).toBe(0.5);
  });

  it('names a class or colour it does not know', () => {
    const ask = (object: object) => ({ ...metadata, include: [{ class: 'circle', count: 1, ...object }] });
    expect(() => judge([], ask({ class: 'dog' }))).toThrow('class "dog" is none of circle, square');
    expect(() => judge([], ask({ color: 'brown' }))).toThrow('color "brown" is none of red');
  });
});

describe('shapeEval', () => {
  const batch = sceneBatch(shapeScenes({ size: 64, seed: 8 }), 0, 12);

  it('scores a batch, with details by name, and leaves the tensor alone', async () => {
    const images = tf.tensor4d(batch.images, batch.shape);
    const metadata = [...batch.metadata.slice(1), batch.metadata[0]!]; // one place off
    const right = await shapeEval().score(images, batch.prompts, batch.metadata);
    expect(right.scores).toEqual(new Array(12).fill(1));
    const wrong = await shapeEval({ strictWeight: 0.25 }).score(images, batch.prompts, metadata);
    expect(Math.min(...wrong.scores)).toBeLessThan(0.75);
    wrong.scores.forEach((score, i) => {
      expect(score).toBeCloseTo(0.25 * wrong.details.strict![i]! + 0.75 * wrong.details.partial![i]!, 10);
      const tags = GENEVAL_TAGS.filter((tag) => !Number.isNaN(wrong.details[`strict_${tag}`]![i]!));
      expect(tags).toEqual([metadata[i]!.tag]);
    });
    expect((await images.data())[0]).toBe(batch.images[0]);
    images.dispose();
  });

  it('reads encoded files', async () => {
    const files = await Promise.all(
      [0, 1].map(async (i) => {
        const raw = Uint8Array.from(batch.images.subarray(i * 12288, (i + 1) * 12288), (v) =>
          Math.round(255 * v),
        );
        return {
          bytes: await sharp(raw, { raw: { width: 64, height: 64, channels: 3 } })
            .png()
            .toBuffer(),
        };
      }),
    );
    const { scores } = await shapeEval().score(files, batch.prompts.slice(0, 2), batch.metadata.slice(0, 2));
    expect(scores).toEqual([1, 1]);
  });

  it('says what is wrong with its input', async () => {
    const images = tf.zeros<tf.Rank.R4>([1, 64, 64, 3]);
    await expect(shapeEval().score(images, ['a'], [])).rejects.toThrow('1 images, 1 prompts and 0 metadata');
    await expect(shapeEval().score(images, ['a'], [{ tag: 'x' }])).rejects.toThrow('metadata[0]: "prompt"');
    const gray = tf.zeros<tf.Rank.R4>([1, 64, 64, 1]);
    await expect(shapeEval().score(gray, ['a'], [{}])).rejects.toThrow('[B, H, W, 3], not [1, 64, 64, 1]');
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(shapeEval().score(images, ['a'], [{}], { signal })).rejects.toThrow('stopped');
    expect(() => shapeEval({ strictWeight: 2 })).toThrow('strictWeight');
    tf.dispose([images, gray]);
  });

  it('reports free colours and the diversity of a group', async () => {
    const images = tf.tensor4d(batch.images, batch.shape);
    const scenes = await describeScenes(images);
    images.dispose();
    const free = batch.metadata.map(({ include }) => include.every(({ color }) => !color));
    const expected = scenes.reduce((sum, found, i) => sum + (free[i] ? found.length : 0), 0);
    const counts = freeColors(scenes, batch.metadata);
    expect(Object.values(counts).reduce((a, b) => a + b)).toBe(expected);
    expect(expected).toBeGreaterThan(0);
    expect(sceneDiversity([scenes[0]!, scenes[0]!, scenes[0]!])).toBe(0);
    expect(sceneDiversity([scenes[0]!, []])).toBe(1);
    const mixed = sceneDiversity(scenes);
    expect(mixed).toBeGreaterThan(0.3);
    expect(mixed).toBeLessThanOrEqual(1);
    expect(sceneDiversity([scenes[0]!])).toBe(0);
  });
});
