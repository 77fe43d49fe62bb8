import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { expectClose, fixtureCases, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { rgbImages } from '../../images';
import type { BlipConfig } from '../blip/config';
import { blipHead, blipReward } from '../blip/reward';
import { blipText } from '../blip/text';
import { blipVision, resizedPositions } from '../blip/vision';
import { CLIP_MEAN, CLIP_STD, clipPixels } from '../preprocess';
import { imageReward } from './image-reward';
import { letterTokenizer, writeJson } from './tiny-models.testing';

interface Description {
  /** How far two float32 runs of this very case may differ: ten times this is allowed. */
  float32_vs_float64: Record<string, { max_abs: number }>;
  config: {
    vision: { image_size: number; patch_size: number; num_heads: number; norm_eps: number };
    text: { num_attention_heads: number; layer_norm_eps: number };
    mean: number;
    std: number;
  };
  ids: { cls: number; sep: number };
  preprocess: { image: string }[];
}

const files = fixtureCases('rewards-imagereward').flatMap(({ name, dir }) =>
  readdirSync(dir)
    .filter((file) => file.endsWith('.json'))
    .map((file) => ({ name: `${name}/${file}`, dir, file })),
);
if (files.length === 0) throw new Error('No rewards-imagereward case.');

describe.each(files)('ImageReward, $name', ({ dir, file }) => {
  const description = readJson<Description>(dir, file);
  const { vision, text, mean, std } = description.config;
  const config: BlipConfig = {
    vision: { imageSize: vision.image_size, heads: vision.num_heads, eps: vision.norm_eps },
    text: { heads: text.num_attention_heads, eps: text.layer_norm_eps },
    mean,
    std,
  };
  const measured = (name: string) => 10 * (description.float32_vs_float64[name]?.max_abs ?? 0);
  const tensors = readTensors(dir, file.replace('.json', '.safetensors'));
  const tensor = (name: string, dtype: 'float32' | 'int32' = 'float32') =>
    tf.tensor(numbers(tensors[name]!), tensors[name]!.shape, dtype);
  const stored = () =>
    Object.fromEntries(
      Object.keys(tensors)
        .filter((name) => name.startsWith('weights.'))
        .map((name) => [name.slice(8), tensor(name, name.endsWith('position_ids') ? 'int32' : 'float32')]),
    );
  const check = (x: tf.Tensor, name: string, limit: number) =>
    expectClose(x.dataSync(), numbers(tensors[`out.${name}`]!), Math.max(limit, measured(name)), name);

  it('gives the tokens, hidden states and rewards of the package', () => {
    const params = stored();
    const pixels = tf.transpose(tensor('in.pixel_values'), [0, 2, 3, 1]);
    const seen = blipVision(params, config.vision, pixels);
    check(seen, 'visual_encoder', 3e-5);
    const ids = tensor('in.input_ids', 'int32') as tf.Tensor2D;
    const mask = tensor('in.attention_mask') as tf.Tensor2D;
    const hidden = blipText(params, config.text, ids, mask, seen);
    check(hidden, 'text_last_hidden_state', 4e-5);
    check(blipHead(params, hidden), 'mlp', 1.5e-4);
    const rewards = blipReward(params, config, pixels, { ids, mask });
    check(rewards, 'rewards', 1e-4);
    check(rewards, 'rewards_one_by_one', 1e-4);
  });

  it('brings a position table to another grid', () => {
    const table = resizedPositions(tensor('in.other_pos_embed'), vision.image_size / vision.patch_size);
    expect(table.shape).toEqual(tensors['out.other_pos_embed']!.shape);
    check(table, 'other_pos_embed', 1e-5);
  });

  it.each(description.preprocess)('preprocesses $image', async ({ image }) => {
    const picture = await rgbImages([{ bytes: readFileSync(join(dir, 'preprocess', `${image}.png`)) }]);
    const size = vision.image_size;
    const pixels = clipPixels(picture, {
      edge: size,
      crop: size,
      mean: CLIP_MEAN,
      std: CLIP_STD,
      rounding: 'even',
    });
    const expected = tf.transpose(tensor(`preprocess.${image}`), [1, 2, 0]);
    expectClose(pixels.dataSync(), expected.dataSync(), 1e-6, image);
  });

  it('loads a checkpoint file and scores prompts', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tiny-image-reward-'));
    const path = join(folder, 'reward.safetensors');
    await saveSafetensors(path, stored());
    writeJson(folder, 'tokenizer.json', letterTokenizer(description.ids.cls, description.ids.sep, 10));
    const images = tf.randomUniform([3, 40, 48, 3], 0, 1, 'float32', 3) as tf.Tensor4D;
    const before = tf.memory().numTensors;
    const scorer = await imageReward({ model: path, processor: folder, config, batchSize: 2 });
    const { scores } = await scorer.score(images, ['cat', 'dog', ''], [{}, {}, {}]);
    const other = await scorer.score(images, ['cat', 'cat', ''], [{}, {}, {}]);
    expect(scores.every(Number.isFinite)).toBe(true);
    expect(other.scores[0]).toBeCloseTo(scores[0]!, 5);
    expect(other.scores[1]).not.toBeCloseTo(scores[1]!, 4);
    scorer.dispose();
    expect(tf.memory().numTensors).toBe(before);
    rmSync(folder, { recursive: true });
  });
});
