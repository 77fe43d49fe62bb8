/** A setup whose model, tokenizer, VAE and reward come from the hub. */
import '@flow-grpo/tfjs-backend-xla';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '@flow-grpo/grpo-trainer/config';
import { StandInHub } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { showo2SetupSchema } from '../run-file/setup-schema';
import { checkModel } from './check';
import { showo2Setup } from './showo2';
import { writeTinyShowo2 } from './testing/tiny-showo2';

let folder: string;
let dataset: string;
let hub: StandInHub;
beforeAll(async () => {
  await tf.setBackend('xla');
  folder = await mkdtemp(join(tmpdir(), 'setup-hub-'));
  const tiny = await writeTinyShowo2(folder);
  dataset = tiny.dataset;
  const entries = await readdir(tiny.model, { recursive: true, withFileTypes: true });
  const files: Record<string, Buffer> = {};
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files[path.slice(tiny.model.length + 1)] = await readFile(path);
  }
  const twice = { ...files, 'pytorch_model.bin': Buffer.alloc(100_000) };
  hub = new StandInHub({ 'org/whole': twice, 'org/words': { 'vocabulary.json': files['vocabulary.json']! } });
  await hub.start();
  process.env.HF_ENDPOINT = hub.endpoint;
  process.env.HF_HUB_CACHE = join(folder, 'cache');
});
afterAll(async () => {
  delete process.env.HF_ENDPOINT;
  delete process.env.HF_HUB_CACHE;
  await hub.stop();
  await rm(folder, { recursive: true });
});

it('is checked without a download, then downloaded in one format of the weights', async () => {
  const options = parseConfig(showo2SetupSchema, {
    kind: 'showo2',
    model: 'org/whole',
    tokenizer: 'org/words',
    dataset,
    reward: { jpeg_compressibility: 1 },
  });
  const announced = (await checkModel(options)).reduce((total, { download }) => total + download, 0);
  expect(hub.downloads).toEqual([]);
  // Everything but the second format of the weights, and the tokenizer of a repository of its own.
  const { 'pytorch_model.bin': _, ...read } = hub.repos['org/whole']!;
  expect(announced).toBe(Object.values(read).reduce((total, { length }) => total + length, 0));
  expect(announced).toBeGreaterThan(10_000);
  const told: string[] = [];
  const { policy } = await showo2Setup(options, { onMessage: (message) => told.push(message) });
  expect(policy!.trainable.length).toBeGreaterThan(0);
  tf.dispose(policy!.params);
  expect(told.some((message) => message.startsWith('downloading model.safetensors ('))).toBe(true);
  expect(told.join()).not.toContain('pytorch_model.bin');
  expect((await checkModel(options)).every(({ download }) => download === 0)).toBe(true);
});
