import '@tensorflow/tfjs-backend-cpu';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { chooseBackend } from './backend';
import { readOptions } from './options';
import { recipe } from './recipe';
import { trainingClock, trainingTime } from './size';

describe('without an XLA plugin', () => {
  let cache: string;
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), 'no-plugin-'));
    for (const name of ['PATH', 'VIRTUAL_ENV', 'CONDA_PREFIX', 'PJRT_PLUGIN_LIBRARY_PATH'])
      vi.stubEnv(name, '');
    vi.stubEnv('XDG_CACHE_HOME', cache);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(cache, { recursive: true });
  });

  it('runs on WebAssembly and says why, unless XLA was asked for', async () => {
    const { backend } = readOptions([]);
    const chosen = await chooseBackend(backend);
    expect(chosen).toEqual({
      name: 'wasm',
      text: 'wasm',
      reason: 'No PJRT plugin found. Run: npx pjrt install cpu',
    });
    expect(tf.getBackend()).toBe('wasm');
    await expect(chooseBackend('xla')).rejects.toThrow(/npx pjrt install cpu/);
    await expect(chooseBackend(undefined, 2)).rejects.toThrow(/npx pjrt install cpu/);
    await expect(chooseBackend('cpu', 2)).rejects.toThrow(/only the backend 'xla' has several devices/);
  });
});

describe('a run without a compiler', () => {
  it('ends in fifteen minutes, evaluations included, and tells how many images that is', async () => {
    await tf.setBackend('cpu');
    const { minutes, images } = trainingTime({ elapsed: 120, evaluation: 60, images: 24 });
    expect(minutes).toBe(12);
    expect(images).toBe(180); // 720 s at 24 images per 60 s, 1.6 of which make one
    expect(trainingTime({ elapsed: 3000, evaluation: 2000, images: 24 }).minutes).toBe(1);
    const options = { seed: 0, devices: 1, algorithm: 'nft', set: [] };
    const small = recipe(options, false).sampling!;
    expect(small.promptsPerEpoch! * small.samplesPerPrompt!).toBeLessThan(64);
  });

  it('begins no epoch that would not end in time', () => {
    let now = 0;
    const clock = trainingClock({ minutes: 10 }, false, () => now);
    const after = (minutes: number) => {
      now += 60_000 * minutes;
      return clock.tick();
    };
    expect(after(4)).toBe('6.0 minutes left');
    expect(clock.signal.aborted).toBe(false);
    expect(after(4)).toBe('2.0 minutes left'); // and an epoch takes four
    expect(clock.signal.aborted).toBe(true);
  });
});

describe('a compiled run', () => {
  it('counts its time from the end of the first epoch, which compiles', () => {
    let now = 0;
    const clock = trainingClock({ minutes: 1 }, true, () => now);
    now = 600_000;
    expect(clock.tick()).toBe('1.0 minutes left');
    now += 59_000;
    expect(clock.tick()).toBe('0.0 minutes left');
    expect(clock.signal.aborted).toBe(false);
    now += 1000;
    clock.tick();
    expect(clock.signal.aborted).toBe(true);
  });

  it('ends with the epoch that has the images that were asked for', () => {
    const epochs = (images: number) =>
      recipe({ seed: 0, devices: 1, algorithm: 'nft', set: [], images }, true).epochs;
    expect([200, 256, 257].map(epochs)).toEqual([1, 1, 2]);
  });
});
