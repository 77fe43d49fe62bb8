import {
  FAULTS,
  type Fault,
  GENEVAL_TAGS,
  type GenevalMetadata,
  PALETTE,
  SHAPES,
  type ShapeScene,
  sceneBatch,
  shapeScenes,
} from '@flow-grpo/datasets';
import * as tf from '@tensorflow/tfjs-core';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import {
  describeScene,
  describeScenes,
  findShapes,
  freeColors,
  judge,
  sceneDiversity,
  shapeEval,
} from './index';

const pixels = ({ image, size }: ShapeScene) => ({ data: image, width: size, height: size });
const passes = (scene: ShapeScene) => judge(findShapes(pixels(scene)), scene.metadata).strict;
const share = (scenes: ShapeScene[], test: (scene: ShapeScene) => number) =>
  scenes.reduce((sum, scene) => sum + test(scene), 0) / scenes.length;

/** A small seeded source of numbers, apart from the one that draws the scenes. */
function lehmer(seed: number): () => number {
  let state = (seed * 48271 + 11) % 2147483647;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

/** Gaussian blur (σ 0.8 pixel at 64, growing with the size), then noise of σ 0.05 on every channel. */
function spoil(scene: ShapeScene, seed: number): ShapeScene {
  const { size } = scene;
  const sigma = (0.8 * size) / 64;
  const reach = Math.ceil(3 * sigma);
  const kernel = Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)),
  );
  const total = kernel.reduce((a, b) => a + b);
  const clamp = (v: number) => Math.min(size - 1, Math.max(0, v));
  const pass = (from: Float32Array, at: (i: number, j: number) => number) => {
    const to = new Float32Array(from.length);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        for (let c = 0; c < 3; c++) {
          let sum = 0;
          for (let k = 0; k < kernel.length; k++)
            sum += kernel[k]! * from[3 * at(i, clamp(j + k - reach)) + c]!;
          to[3 * at(i, j) + c] = sum / total;
        }
      }
    }
    return to;
  };
  const random = lehmer(seed);
  const noise = () => 0.05 * Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
  const rows = pass(scene.image, (i, j) => i * size + j);
  const image = pass(rows, (i, j) => j * size + i).map((v) => Math.min(1, Math.max(0, v + noise())));
  return { ...scene, image };
}

const take = (count: number, options: Parameters<typeof shapeScenes>[0]) => {
  const scenes = shapeScenes({ split: 'all', seed: 100, ...options });
  return Array.from({ length: count }, (_, i) => scenes.scene(i));
};

describe('findShapes and judge on rendered scenes', () => {
  it.each(GENEVAL_TAGS)('accept 99 % of 2,000 scenes of kind %s at 64 pixels', (kind) => {
    expect(share(take(2000, { size: 64, kinds: [kind] }), passes)).toBeGreaterThanOrEqual(0.99);
  });

  it.each([96, 128])('accept them at %i pixels too, every kind', (size) => {
    for (const kind of GENEVAL_TAGS) {
      expect(share(take(60, { size, kinds: [kind] }), passes), kind).toBeGreaterThanOrEqual(0.99);
    }
  });

  it.each(FAULTS)('refuse scenes with a wrong %s', (fault: Fault) => {
    const kinds = {
      count: GENEVAL_TAGS,
      shape: GENEVAL_TAGS,
      color: ['colors', 'color_attr'],
      place: ['position'],
    };
    const options = { faultRate: 1, faults: [fault], kinds: kinds[fault] as typeof GENEVAL_TAGS };
    const scenes = take(1000, { size: 64, ...options });
    expect(scenes.every((scene) => scene.fault === fault)).toBe(true);
    expect(share(scenes, passes)).toBeLessThanOrEqual(0.01);
    for (const size of [96, 128]) {
      expect(share(take(60, { size, ...options }), passes), `${size} pixels`).toBeLessThanOrEqual(0.01);
    }
  });

  it.each([64, 96, 128])('accept nearly all at %i pixels with blur and noise, every kind', (size) => {
    for (const kind of GENEVAL_TAGS) {
      const spoiled = take(size === 64 ? 60 : 20, { size, kinds: [kind] }).map(spoil);
      expect(share(spoiled, passes), kind).toBeGreaterThanOrEqual(0.95);
    }
  });

  it('tell all six shapes apart when asked to', () => {
    const test = (scene: ShapeScene) =>
      judge(findShapes(pixels(scene), { shapes: SHAPES }), scene.metadata).strict;
    expect(share(take(600, { size: 64, shapes: SHAPES }), test)).toBeGreaterThanOrEqual(0.99);
  });

  it('find place, size, colour and shape of what is drawn', () => {
    for (const scene of take(50, { size: 64 })) {
      const found = describeScene(pixels(scene));
      expect(found.length).toBe(scene.objects.length);
      for (const object of scene.objects) {
        const near = found.find(({ x, y }) => Math.hypot(x - object.x, y - object.y) < 0.01)!;
        expect([near.shape, near.color]).toEqual([object.shape, object.color]);
        expect(near.radius / object.radius).toBeGreaterThan(0.95);
        expect(near.radius / object.radius).toBeLessThan(1.05);
      }
    }
  });
});

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
