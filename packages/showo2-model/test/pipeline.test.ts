import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { maxAbsDiff } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fitLatentPreview, type Showo2 } from '../src/index';
import { showo2FromPretrained } from '../src/node';
import type { GenerateTextOptions } from '../src/text/generate';
import { config, writeTinyModel } from './tiny-model';

let folder: string;
let model: Showo2;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'showo2-'));
  await writeTinyModel(folder);
  const seen: string[] = [];
  model = await showo2FromPretrained(folder, {
    dtype: 'float32',
    onProgress: ({ part, name }) => seen.push(`${part}:${name}`),
  });
  expect(seen).toContain('model:diffusion_head_b.linear.weight');
  expect(seen.some((line) => line.startsWith('vae:decoder'))).toBe(true);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('Showo2', () => {
  it('generates the same images for the same seed, whatever else is in the batch', async () => {
    const options = { steps: 3, seed: 5 };
    const two = await model.generate(['a red circle', 'red'], options);
    expect(two.shape).toEqual([2, 8, 8, 3]);
    const one = await model.generate(['a red circle'], options);
    expect(maxAbsDiff(one.dataSync(), two.dataSync().slice(0, one.size))).toBeLessThan(1e-5);
    const other = await model.generate(['a red circle'], { ...options, seed: 6 });
    expect(maxAbsDiff(one.dataSync(), other.dataSync())).toBeGreaterThan(1e-3);
    const low = Math.min(...two.dataSync());
    const high = Math.max(...two.dataSync());
    expect(low).toBeGreaterThanOrEqual(0);
    expect(high).toBeLessThanOrEqual(1);
  });

  it('generates other sizes, reports steps and shows previews', async () => {
    const latents = tf.randomNormal([2, 4, 4, 4], 0, 1, 'float32', 9) as tf.Tensor4D;
    const images = model.decode(latents) as tf.Tensor4D;
    model.preview = (await fitLatentPreview(latents, images)).preview;
    const steps: number[] = [];
    const shapes: number[][] = [];
    const made = await model.generate(['red'], {
      steps: 2,
      size: [8, 12],
      onStep: ({ step, preview }) => {
        steps.push(step);
        const picture = preview();
        shapes.push(picture.shape);
        picture.dispose();
      },
    });
    expect(made.shape).toEqual([1, 8, 12, 3]);
    expect(steps).toEqual([1, 2]);
    expect(shapes[1]).toEqual([1, 4, 6, 3]);
    await expect(model.generate(['red'], { size: [9, 8] })).rejects.toThrow(/multiples of 4/);
  });

  it('leaves no tensors behind but its results', async () => {
    await model.generate(['red'], { steps: 2 });
    const before = tf.memory().numTensors;
    const images = await model.generate(['red'], { steps: 2 });
    images.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('stops when asked', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(model.generate(['red'], { signal })).rejects.toThrow('enough');
  });

  it('answers about images and continues text', async () => {
    const image = tf.fill([16, 10, 3], 0.5) as tf.Tensor3D;
    const answer = await model.describe(image, 'what is this ?', { maxNewTokens: 4 });
    expect(await model.describe(image, 'what is this ?', { maxNewTokens: 4 })).toBe(answer);
    // The one best token whatever is drawn, and not so where all may be drawn.
    const drawn = (seed: number, options: GenerateTextOptions) =>
      model.describe(image, 'what is this ?', { maxNewTokens: 4, temperature: 5, seed, ...options });
    expect(await drawn(1, { topK: 1 })).toBe(answer);
    expect(await drawn(1, { topK: 50, topP: 1e-6 })).toBe(answer);
    const free = [];
    for (const seed of [1, 2, 3]) free.push(await drawn(seed, { topK: 50 }));
    expect(new Set([answer, ...free]).size).toBeGreaterThan(2);
    expect(await drawn(1, { topK: 50 })).toBe(free[0]);
    expect(typeof (await model.complete('a red', { maxNewTokens: 3, seed: 1 }))).toBe('string');
  });

  it('makes clips, keeping a given first frame', async () => {
    const clip = await model.generateVideo(['red'], { frames: 3, steps: 2 });
    expect(clip.shape).toEqual([1, 3, 8, 8, 3]);
    const firstFrame = tf.fill([8, 8, 3], 0.25) as tf.Tensor3D;
    const given = await model.generateVideo(['red'], { frames: 3, steps: 2, firstFrame });
    const alone = model.decode(model.encodeImages(firstFrame));
    const frame = tf.slice(given, [0, 0, 0, 0, 0], [1, 1, -1, -1, -1]);
    expect(maxAbsDiff(frame.dataSync(), alone.dataSync())).toBeLessThan(1e-5);
    await expect(model.generateVideo(['red'], { frames: 4 })).rejects.toThrow(/1 \+ 2k/);
  });

  it('writes and draws in turn', async () => {
    // Of a few seeds some open an image before they stop, and some of those another one.
    const counts: number[] = [];
    for (const seed of Array(16).keys()) {
      const options = { maxImages: 2, steps: 2, seed, text: { maxNewTokens: 60, temperature: 3 } };
      const size: [number, number] | undefined = seed % 2 ? [12, 8] : undefined;
      const segments = await model.interleave('a red circle', { ...options, ...(size && { size }) });
      const images = segments.flatMap((segment) => ('image' in segment ? [segment.image] : []));
      for (const image of images) expect(image.shape).toEqual([...(size ?? [8, 8]), 3]);
      counts.push(images.length);
    }
    expect(Math.max(...counts)).toBe(2);
  });

  it('goes on from images of the prompt, and draws at once where that is asked', async () => {
    const red = tf.tile(tf.reshape(tf.tensor1d([1, 0, 0]), [1, 1, 3]), [10, 8, 1]) as tf.Tensor3D;
    const blue = tf.tile(tf.reshape(tf.tensor1d([0, 0, 1]), [1, 1, 3]), [10, 8, 1]) as tf.Tensor3D;
    const draw = async (...images: tf.Tensor3D[]) => {
      const prompt = [...images.map((image) => ({ image })), { text: 'a red circle' }];
      const options = { maxImages: 1, drawFirst: true, steps: 2, seed: 3 };
      const [first] = await model.interleave(prompt, { ...options, text: { maxNewTokens: 1 } });
      return (first as { image: tf.Tensor3D }).image.dataSync();
    };
    const drawn = await draw(red);
    expect(drawn.length).toBe(8 * 8 * 3);
    expect(maxAbsDiff(await draw(red), drawn)).toBe(0);
    // What is drawn depends on every image before it.
    expect(maxAbsDiff(await draw(blue), drawn)).toBeGreaterThan(1e-6);
    expect(maxAbsDiff(await draw(red, blue), await draw(red, red))).toBeGreaterThan(1e-6);
    const before = tf.memory().numTensors;
    await draw(red, blue);
    expect(tf.memory().numTensors).toBe(before + 1);
  });

  it('decodes in tiles where that is asked', async () => {
    const options = { steps: 2, seed: 4, size: [16, 16] as [number, number] };
    const whole = (await model.generate(['red'], options)).dataSync();
    const fits = await model.generate(['red'], { ...options, tiling: { tile: 16, overlap: 4 } });
    expect(maxAbsDiff(fits.dataSync(), whole)).toBe(0);
    const tiled = await model.generate(['red'], { ...options, tiling: { tile: 12, overlap: 4 } });
    expect(tiled.shape).toEqual([1, 16, 16, 3]);
    expect(maxAbsDiff(tiled.dataSync(), whole)).toBeGreaterThan(0);
    expect(maxAbsDiff(tiled.dataSync(), whole)).toBeLessThan(0.5);
    expect(() => model.decode(tf.zeros([1, 2, 4, 4, 4]), {})).toThrow(/clips/);
  });

  it('names what does not fit when a checkpoint is not of the configuration', async () => {
    const wrong = { ...config, head: { ...config.head, layers: 3 } };
    await expect(showo2FromPretrained(folder, { config: wrong })).rejects.toThrow(/diffusion_head_a\.2\./);
    const { head, trunk, vision } = config;
    const all = {
      ...config,
      head: { ...head, layers: head.layers + 1 },
      trunk: { ...trunk, layers: trunk.layers - 1 },
      vision: { ...vision, intermediateSize: 20 },
    };
    await expect(showo2FromPretrained(folder, { config: all })).rejects.toThrow(
      /missing \(\d+\):.*diffusion_head_a\.2\..*unexpected \(\d+\):.*layers\.1\..*wrongly shaped \(\d+\):.*fc1\.weight: expected \[20,12\]/s,
    );
    await expect(showo2FromPretrained(join(folder, 'vae'))).rejects.toThrow(/config\.json/);
  });
});
