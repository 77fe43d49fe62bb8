import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { expectClose, fixtureCases, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OpenClipConfig } from '../clip/open-clip';
import type { ModelDtype } from '../load/source';
import { aesthetic } from './aesthetic';
import type { ModelScorer } from './batches';
import { clipScore, pickScore } from './clip-score';
import { hpsv2 } from './hpsv2';
import { imageReward } from './image-reward';
import { letterTokenizer, writeJson } from './tiny-models.testing';

interface ClipJson {
  config: { vision_config: { image_size: number }; projection_dim: number };
  tokens: { start: number; end: number };
}
interface HpsJson {
  config: OpenClipConfig;
  ids: { start: number; end: number };
}
interface BlipJson {
  config: {
    vision: { image_size: number; num_heads: number; norm_eps: number };
    text: { num_attention_heads: number; layer_norm_eps: number };
    mean: number;
    std: number;
  };
  ids: { cls: number; sep: number };
}

const dirOf = (prefix: string) => fixtureCases(prefix).find(({ name }) => name === prefix)!.dir;
const prompts = ['a cat', 'dog', 'some longer prompt'];
const metadata = [{}, {}, {}];
const pixels = Float32Array.from({ length: 3 * 40 * 37 * 3 }, (_, i) => ((i * 7919) % 251) / 250);
const folders: string[] = [];

beforeAll(() => tf.setBackend('cpu'));
afterAll(async () => {
  await tf.setBackend('cpu');
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** A checkpoint of the parity numbers as a folder. */
async function folderOf(prefix: string, file: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'tiny-xla-'));
  folders.push(folder);
  const weights = Object.entries(readTensors(dirOf(prefix), file))
    .filter(([name]) => name.startsWith('weights.') && !name.endsWith('position_ids'))
    .map(([name, tensor]) => [name.slice(8), tf.tensor(numbers(tensor), tensor.shape)] as const);
  await saveSafetensors(join(folder, 'model.safetensors'), Object.fromEntries(weights));
  return folder;
}

async function clipFolder(): Promise<string> {
  const folder = await folderOf('rewards-clip', 'gelu-eos.safetensors');
  const { config, tokens } = readJson<ClipJson>(dirOf('rewards-clip'), 'gelu-eos.json');
  const size = config.vision_config.image_size;
  writeJson(folder, 'config.json', config);
  writeJson(folder, 'preprocessor_config.json', { size, crop_size: size });
  writeJson(folder, 'tokenizer.json', letterTokenizer(tokens.start, tokens.end));
  return folder;
}

type Make = (dtype?: ModelDtype) => Promise<ModelScorer>;

async function scoresOn(backend: 'cpu' | 'xla', make: Make, dtype?: ModelDtype): Promise<number[]> {
  expect(await tf.setBackend(backend), 'a PJRT plugin is installed').toBe(true);
  const before = tf.memory().numTensors;
  const scorer = await make(dtype);
  const images = tf.tensor4d(pixels, [3, 40, 37, 3]);
  const { scores } = await scorer.score(images, prompts, metadata);
  scorer.dispose();
  images.dispose();
  expect(tf.memory().numTensors, `tensors left on ${backend}`).toBe(before);
  await tf.setBackend('cpu');
  return scores;
}

/** The same scores on XLA as on the cpu backend; in bfloat16 near them, yet not them. */
async function compare(make: Make, limits: Record<ModelDtype, number>): Promise<void> {
  const expected = await scoresOn('cpu', make);
  const wide = await scoresOn('xla', make, 'float32');
  expectClose(wide, expected, limits.float32, 'float32');
  const narrow = await scoresOn('xla', make, 'bfloat16');
  expectClose(narrow, expected, limits.bfloat16, 'bfloat16');
  expect(narrow, 'bfloat16 takes part').not.toEqual(wide);
  expect(await scoresOn('xla', make), 'on a CPU weights are float32 by default').toEqual(wide);
}

describe('model rewards compiled by XLA give the scores of the cpu backend', () => {
  it('pickScore and clipScore', async () => {
    const model = await clipFolder();
    await compare((dtype) => pickScore({ model, dtype }), { float32: 1e-5, bfloat16: 0.04 });
    await compare((dtype) => clipScore({ model, dtype }), { float32: 1e-5, bfloat16: 0.04 });
  });

  it('aesthetic', async () => {
    const model = await clipFolder();
    const head = join(model, 'head.safetensors');
    const { projection_dim } = readJson<ClipJson>(dirOf('rewards-clip'), 'gelu-eos.json').config;
    const weight = tf.randomNormal([1, projection_dim], 0, 1, 'float32', 5);
    await saveSafetensors(head, { 'layers.0.weight': weight, 'layers.0.bias': tf.tensor1d([5]) });
    await compare((dtype) => aesthetic({ model, head, dtype }), { float32: 1e-5, bfloat16: 0.04 });
  });

  it('hpsv2', async () => {
    const { config, ids } = readJson<HpsJson>(dirOf('rewards-hps'), 'hps.json');
    const folder = await folderOf('rewards-hps', 'hps.safetensors');
    writeJson(folder, 'tokenizer.json', letterTokenizer(ids.start, ids.end));
    const make: Make = (dtype) => hpsv2({ model: folder, processor: folder, config, dtype });
    await compare(make, { float32: 1e-5, bfloat16: 0.04 });
  });

  it('imageReward', async () => {
    const { config, ids } = readJson<BlipJson>(dirOf('rewards-imagereward'), 'imagereward.json');
    const folder = await folderOf('rewards-imagereward', 'imagereward.safetensors');
    writeJson(folder, 'tokenizer.json', letterTokenizer(ids.cls, ids.sep, 10));
    const { vision, text, mean, std } = config;
    const blip = {
      vision: { imageSize: vision.image_size, heads: vision.num_heads, eps: vision.norm_eps },
      text: { heads: text.num_attention_heads, eps: text.layer_norm_eps },
      mean,
      std,
    };
    const make: Make = (dtype) => imageReward({ model: folder, processor: folder, config: blip, dtype });
    await compare(make, { float32: 1e-4, bfloat16: 0.25 });
  });
});
