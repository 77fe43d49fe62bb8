/** Adapters that are saved here are read by PEFT itself, which merges them to the same weights. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveLora, saveSafetensors } from '@flow-grpo/checkpoint-io';
import { initLora, type LoraConfig, mergeLora } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { reference } from './reference';

/** Layers by Show-o2's names, of which the last has no adapter. */
const params = {
  'showo.model.layers.0.self_attn.q_proj.weight': tf.randomNormal([6, 4], 0, 1, 'float32', 1),
  'showo.model.layers.1.mlp.down_proj.weight': tf.randomNormal([4, 8], 0, 1, 'float32', 2),
  'diffusion_head_a.0.self_attn.o_proj.weight': tf.randomNormal([4, 4], 0, 1, 'float32', 3),
  'lm_head.weight': tf.randomNormal([5, 4], 0, 1, 'float32', 4),
};
const targets = ['*q_proj', '*down_proj', '*o_proj'];
const CONFIGS: Readonly<Record<string, LoraConfig>> = {
  plain: { rank: 2, alpha: 4, targets },
  'rank-stabilised': { rank: 2, alpha: 3, useRslora: true, targets },
  gaussian: { rank: 3, alpha: 3, init: 'gaussian', targets },
  orthogonal: { rank: 2, alpha: 2, init: 'orthogonal', targets },
  'on some layers': { rank: 2, alpha: 4, targets: ['*q_proj'] },
};

let folder: string;
let merged: Record<string, Record<string, number[]>>;
const adapters = Object.fromEntries(
  Object.entries(CONFIGS).map(([name, config]) => {
    // As after training: no factor is zero.
    const trained = Object.entries(initLora(params, config, 7)).map(([factor, value], i) => [
      factor,
      tf.add(value, tf.randomNormal(value.shape, 0, 0.3, 'float32', 10 + i)),
    ]);
    return [name, Object.fromEntries(trained) as Record<string, tf.Tensor>];
  }),
);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'adapters-'));
  await saveSafetensors(join(folder, 'model.safetensors'), params);
  for (const [name, config] of Object.entries(CONFIGS)) {
    await saveLora(join(folder, name), { ...config, adapters: adapters[name]! });
  }
  const folders = Object.keys(CONFIGS).map((name) => join(folder, name));
  merged = await reference('adapters', join(folder, 'model.safetensors'), ...folders);
});
afterAll(() => rm(folder, { recursive: true }));

it.each(Object.entries(CONFIGS))('%s', async (name, config) => {
  const own = mergeLora(params, adapters[name]!, config);
  const theirs = merged[join(folder, name)]!;
  expect(Object.keys(theirs).sort()).toEqual(Object.keys(params).sort());
  for (const [weight, value] of Object.entries(own)) {
    const difference = tf.max(tf.abs(tf.sub(value, tf.tensor(theirs[weight]!, value.shape)))).dataSync()[0]!;
    expect(difference, weight).toBeLessThan(1e-6);
  }
});
