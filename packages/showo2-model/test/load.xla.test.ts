import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadParams } from '@flow-grpo/checkpoint-io';
import type { Params } from '@flow-grpo/nn';
import { maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import { compilationStats, observeExecutions } from '@flow-grpo/tfjs-backend-xla';
import { defaultStorage, storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadShowo2, saveShowo2, showo2FromPretrained } from '../src/node';
import { writeTinyModel } from './tiny-model';
import { useXla } from './xla';

await useXla();

let folder: string;
let narrow: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'showo2-load-'));
  narrow = join(folder, 'bfloat16');
  await writeTinyModel(folder);
  await writeTinyModel(narrow, { dtype: 'bfloat16' });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const storages = (params: Params) => [...new Set(Object.values(params).map(storageOf))];
const values = (params: Params) =>
  Object.fromEntries(Object.entries(params).map(([name, x]) => [name, [...x.dataSync()]]));

describe('loadShowo2', () => {
  it('holds everything in one type, float32 on CPUs, whatever is stored', async () => {
    for (const place of [folder, narrow]) {
      const { params, vae } = await loadShowo2(place);
      expect(storages(params)).toEqual([defaultStorage()]);
      expect(storages(vae.params)).toEqual([defaultStorage()]);
    }
  });

  it('holds bfloat16 as it is stored, and rounds float32 to it', async () => {
    const stored = await loadShowo2(narrow, { dtype: 'bfloat16' });
    expect(storages({ ...stored.params, ...stored.vae.params })).toEqual(['bfloat16']);
    const rounded = await loadShowo2(folder, { dtype: 'bfloat16' });
    expect(values(rounded.params)).toEqual(values(stored.params));
    const mixed = await loadShowo2(folder, { dtype: 'bfloat16', vaeDtype: 'float32' });
    expect(storages(mixed.vae.params)).toEqual(['float32']);
  });

  it('holds what trains as it is told by name', async () => {
    const dtype = (name: string) => (name.startsWith('diffusion') ? 'float32' : 'bfloat16');
    const { params } = await loadShowo2(folder, { dtype });
    for (const [name, x] of Object.entries(params)) expect(storageOf(x), name).toBe(dtype(name));
  });

  it('leaves no tensors but the weights', async () => {
    await loadShowo2(folder, { dtype: 'bfloat16' });
    const before = tf.memory().numTensors;
    const { params, vae } = await loadShowo2(folder, { dtype: 'bfloat16' });
    expect(tf.memory().numTensors - before).toBe(Object.keys({ ...params, ...vae.params }).length);
  });

  it('checks keys and shapes of model and VAE before it reads a weight', async () => {
    const seen: string[] = [];
    const parts = await loadShowo2(folder);
    const { layers } = parts.config.trunk;
    const config = { ...parts.config, trunk: { ...parts.config.trunk, layers: layers + 1 } };
    const onProgress = ({ name }: { name: string }) => seen.push(name);
    await expect(loadShowo2(folder, { config, onProgress })).rejects.toThrow(/missing/);
    await expect(loadShowo2(folder, { vae: join(folder, 'model.safetensors'), onProgress })).rejects.toThrow(
      /encoder\.conv1\.weight/,
    );
    expect(seen).toEqual([]);
  });

  it('refuses a file that was cut off', async () => {
    const cut = join(folder, 'cut');
    await writeTinyModel(cut);
    const file = join(cut, 'model.safetensors');
    const { size } = await stat(file);
    const handle = await open(file, 'r+');
    await handle.truncate(size - 8);
    await handle.close();
    await expect(loadShowo2(cut)).rejects.toThrow(/model\.safetensors/);
  });
});

describe('a model with stacked layers', () => {
  const options = { steps: 3, seed: 5 };
  const dtype = 'float32';

  it('makes the same images', async () => {
    const images = [];
    for (const stacked of [false, true]) {
      const model = await showo2FromPretrained(folder, { stacked, dtype });
      images.push((await model.generate(['a red circle'], options)).dataSync());
    }
    expect(maxAbsDiff(images[0]!, images[1]!)).toBeLessThan(1e-5);
  });

  it('is saved under the names it was loaded from', async () => {
    const model = await showo2FromPretrained(folder, { dtype });
    const before = tf.memory().numTensors;
    const copy = join(folder, 'copy');
    await saveShowo2(copy, model.parts, { vocabulary: { type: 'word', words: ['red'] } });
    expect(tf.memory().numTensors).toBe(before);
    expect(values(await loadParams(copy))).toEqual(values(await loadParams(folder)));
  });

  it('makes nearly the same images in bfloat16', async () => {
    const wide = await (await showo2FromPretrained(folder, { dtype })).generate(['red'], options);
    const model = await showo2FromPretrained(folder, { dtype: 'bfloat16' });
    const image = await model.generate(['red'], options);
    expect(storageOf(image)).toBe('float32');
    const difference = maxAbsDiff(image.dataSync(), wide.dataSync());
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(0.05 * maxAbs(wide.dataSync()));
  });
});

describe('a model that has run once', () => {
  it('compiles nothing more, whatever the prompt, the seed and the number of steps', async () => {
    const model = await showo2FromPretrained(folder);
    const image = tf.fill([8, 8, 3], 0.5) as tf.Tensor3D;
    const use = async (prompt: string, steps: number, seed: number) => {
      tf.dispose(await model.generate([prompt], { steps, seed }));
      await model.describe(image, 'what is this ?', { maxNewTokens: steps, stop: [] });
    };
    await use('red', 2, 1);
    const { compiled, loadedFromDisk } = compilationStats();
    const runs: string[] = [];
    const stop = observeExecutions(({ name }) => runs.push(name));
    await use('a red circle', 9, 2);
    stop();
    expect(compilationStats()).toMatchObject({ compiled, loadedFromDisk });
    const times = (name: string) => runs.filter((each) => each === name).length;
    expect(times('showo2-velocity')).toBe(9);
    expect(times('vae-decode')).toBe(1);
    // The first token comes out of the prefill.
    expect(times('showo2-prefill')).toBe(1);
    expect(times('showo2-token')).toBe(8);
    expect(times('showo2-understand')).toBe(1);
    // Two prompts, the unconditional one among them, whatever the steps.
    expect(times('showo2-text')).toBe(2);
  });
});
