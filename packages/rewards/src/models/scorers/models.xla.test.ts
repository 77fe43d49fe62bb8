import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { expectClose, fixtureCases, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pickScore } from './clip-score';
import { imageReward } from './image-reward';
import { letterTokenizer, writeJson } from './tiny-models.testing';

interface ClipJson {
  config: unknown;
  tokens: { start: number; end: number };
}

const cases = (prefix: string) => fixtureCases(prefix).find(({ name }) => name === prefix)!.dir;
const prompts = ['a cat', 'dog', 'some longer prompt'];
const metadata = [{}, {}, {}];
const pixels = Float32Array.from({ length: 3 * 40 * 37 * 3 }, (_, i) => ((i * 7919) % 251) / 250);
let available = false;
const folders: string[] = [];

beforeAll(async () => {
  available = await tf.setBackend('xla').catch(() => false);
  await tf.setBackend('cpu');
});
afterAll(async () => {
  await tf.setBackend('cpu');
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** A checkpoint of the parity numbers as a folder. */
async function folderOf(prefix: string, file: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'tiny-xla-'));
  folders.push(folder);
  const weights = Object.entries(readTensors(cases(prefix), file))
    .filter(([name]) => name.startsWith('weights.') && !name.endsWith('position_ids'))
    .map(([name, tensor]) => [name.slice(8), tf.tensor(numbers(tensor), tensor.shape)] as const);
  await saveSafetensors(join(folder, 'model.safetensors'), Object.fromEntries(weights));
  return folder;
}

type Make = (dtype: 'float32' | 'bfloat16') => ReturnType<typeof pickScore>;

async function scoresOn(backend: string, make: Make, dtype: 'float32' | 'bfloat16'): Promise<number[]> {
  await tf.setBackend(backend);
  const scorer = await make(dtype);
  const images = tf.tensor4d(pixels, [3, 40, 37, 3]);
  const { scores } = await scorer.score(images, prompts, metadata);
  scorer.dispose();
  images.dispose();
  await tf.setBackend('cpu');
  return scores;
}

async function compare(make: Make, limits: { float32: number; bfloat16: number }): Promise<void> {
  const expected = await scoresOn('cpu', make, 'float32');
  expectClose(await scoresOn('xla', make, 'float32'), expected, limits.float32, 'float32');
  const narrow = await scoresOn('xla', make, 'bfloat16');
  expectClose(narrow, expected, limits.bfloat16, 'bfloat16');
  expect(narrow, 'bfloat16 takes part').not.toEqual(expected);
}

describe('model rewards compiled by XLA', () => {
  it('pickScore gives the scores of the cpu backend', async () => {
    if (!available) throw new Error('no PJRT plugin is installed; run the set-up command');
    const { config, tokens } = readJson<ClipJson>(cases('rewards-clip'), 'gelu-eos.json');
    const folder = await folderOf('rewards-clip', 'gelu-eos.safetensors');
    writeJson(folder, 'config.json', config);
    writeJson(folder, 'preprocessor_config.json', { size: 32, crop_size: 32 });
    writeJson(folder, 'tokenizer.json', letterTokenizer(tokens.start, tokens.end));
    await compare((dtype) => pickScore({ model: folder, dtype }), { float32: 1e-5, bfloat16: 0.04 });
  });

  it('imageReward gives the rewards of the cpu backend', async () => {
    if (!available) throw new Error('no PJRT plugin is installed; run the set-up command');
    const json = readJson<{ ids: { cls: number; sep: number } }>(
      cases('rewards-imagereward'),
      'imagereward.json',
    );
    const folder = await folderOf('rewards-imagereward', 'imagereward.safetensors');
    writeJson(folder, 'tokenizer.json', letterTokenizer(json.ids.cls, json.ids.sep, 10));
    const config = {
      vision: { imageSize: 32, heads: 4, eps: 1e-6 },
      text: { heads: 4, eps: 1e-12 },
      mean: 0,
      std: 1,
    };
    const make: Make = (dtype) => imageReward({ model: folder, processor: folder, config, dtype });
    await compare(make, { float32: 1e-4, bfloat16: 0.25 });
  });
});
