import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { expectClose, fixtureCases, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rgbImages } from '../../images';
import { clipConfig } from '../clip/config';
import { normalized } from '../clip/similarity';
import { clipText, clipVision, textInput } from '../clip/towers';
import { clipPixels } from '../preprocess';
import { aesthetic } from './aesthetic';
import { clipScore, pickScore } from './clip-score';
import { letterTokenizer, writeJson } from './tiny-models.testing';

interface Description {
  config: { vision_config: { image_size: number }; projection_dim: number };
  tokens: { start: number; end: number };
}

/** The tiny CLIP of the parity numbers as a folder on disk. */
const dir = fixtureCases('rewards-clip').find(({ name }) => name === 'rewards-clip')!.dir;
const description = readJson<Description>(dir, 'gelu-eos.json');
const { start, end } = description.tokens;
const size = description.config.vision_config.image_size;
const params: Record<string, tf.Tensor> = {};
const images = tf.randomUniform([3, 50, 41, 3], 0, 1, 'float32', 7) as tf.Tensor4D;
const prompts = ['a cat', '', 'some longer prompt'];
const metadata = [{}, {}, {}];
const preprocessor = { size: { shortest_edge: size }, crop_size: { height: size, width: size } };
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tiny-clip-'));
  for (const [name, tensor] of Object.entries(readTensors(dir, 'gelu-eos.safetensors'))) {
    if (name.startsWith('weights.')) params[name.slice(8)] = tf.tensor(numbers(tensor), tensor.shape);
  }
  await saveSafetensors(join(folder, 'model.safetensors'), params);
  writeJson(folder, 'config.json', description.config);
  writeJson(folder, 'preprocessor_config.json', preprocessor);
  writeJson(folder, 'tokenizer.json', letterTokenizer(start, end));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Cosine · exp(logit_scale) by way of the towers, with ids written out by hand. */
async function expectedLogits(): Promise<number[]> {
  const config = clipConfig(description.config);
  const statistics = { mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711] };
  const pixels = clipPixels(await rgbImages(images), { edge: size, crop: size, ...statistics });
  const rows = prompts.map((prompt) => {
    const letters = [...prompt.replaceAll(' ', '')].map((letter) => letter.charCodeAt(0) - 97 + 3);
    return [start, ...letters, end, ...new Array<number>(30).fill(end)].slice(0, 30);
  });
  const text = clipText(params, config.text, textInput(rows, config.text.eosTokenId)).features;
  const vision = clipVision(params, config.vision, pixels).features;
  const cosine = tf.sum(tf.mul(normalized(text), normalized(vision)), -1);
  return [...tf.mul(cosine, tf.exp(params.logit_scale!)).dataSync()];
}

describe('CLIP scorers from a folder', () => {
  it('score as the towers do, whatever the batch size, and leave no tensor behind', async () => {
    const logits = await expectedLogits();
    const before = tf.memory().numTensors;
    for (const [make, divisor] of [
      [clipScore, 30],
      [pickScore, 26],
    ] as const) {
      for (const batchSize of [2, 16]) {
        const scorer = await make({ model: folder, batchSize });
        const { scores, details } = await scorer.score(images, prompts, metadata);
        expect(scores).toHaveLength(3);
        const expected = logits.map((logit) => logit / divisor);
        expectClose(scores, expected, 5e-5, scorer.name);
        expect(details.cosine![0]! * Math.exp(params.logit_scale!.dataSync()[0]!)).toBeCloseTo(logits[0]!, 3);
        scorer.dispose();
      }
    }
    expect(tf.memory().numTensors).toBe(before);
  });

  it('aesthetic needs no tokenizer and no text tower', async () => {
    const file = join(folder, 'head.safetensors');
    const width = description.config.projection_dim;
    const weight = tf.randomNormal([1, width], 0, 1, 'float32', 5);
    await saveSafetensors(file, { 'layers.0.weight': weight, 'layers.0.bias': tf.tensor1d([5]) });
    const scorer = await aesthetic({ model: folder, head: file });
    const { scores } = await scorer.score(images, prompts, metadata);
    const config = clipConfig(description.config);
    const statistics = {
      mean: [0.48145466, 0.4578275, 0.40821073],
      std: [0.26862954, 0.26130258, 0.27577711],
    };
    const pixels = clipPixels(await rgbImages(images), { edge: size, crop: size, ...statistics });
    const features = normalized(clipVision(params, config.vision, pixels).features) as tf.Tensor2D;
    const expected = tf.add(tf.matMul(features, weight as tf.Tensor2D, false, true), 5).dataSync();
    expectClose(scores, expected, 5e-5, 'aesthetic');
    scorer.dispose();
  });

  it('says what is missing', async () => {
    const bare = mkdtempSync(join(tmpdir(), 'bare-clip-'));
    await saveSafetensors(join(bare, 'model.safetensors'), params);
    await expect(clipScore({ model: bare })).rejects.toThrow(/no config\.json/);
    writeJson(bare, 'config.json', description.config);
    await expect(clipScore({ model: bare })).rejects.toThrow(/no tokenizer\.json.*processor/s);
    await expect(clipScore({ model: folder, batchSize: 0 })).rejects.toThrow(/batchSize/);
    rmSync(bare, { recursive: true });
  });

  it('stops when its signal is aborted', async () => {
    const scorer = await clipScore({ model: folder });
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(scorer.score(images, prompts, metadata, { signal })).rejects.toThrow('enough');
    scorer.dispose();
  });
});
