import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import type { Params } from '@flow-grpo/nn';
import { maxAbs } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodePrompts, showo2ParameterSpecs, showo2Velocity, wordTokenizer } from '../src/index';
import { showo2FromFoundations } from '../src/node';
import { config as tiny, words } from './tiny-model';

const config = { ...tiny, tokens: wordTokenizer({ words }).tokens };
const folder = mkdtempSync(join(tmpdir(), 'showo2-start-'));
const languageModel = join(folder, 'qwen');
const siglip = join(folder, 'siglip');
afterAll(() => rmSync(folder, { recursive: true }));

let qwen: Params;
let vision: Params;

/** Random tensors of those shapes. */
const random = (shapes: Record<string, readonly number[]>) =>
  Object.fromEntries(
    Object.entries(shapes).map(([name, shape], i) => [
      name,
      tf.randomNormal([...shape], 0, 0.1, 'float32', i + 1),
    ]),
  );

beforeAll(async () => {
  const specs = Object.entries(showo2ParameterSpecs(config)).map(
    ([name, { shape }]) => [name, shape] as const,
  );
  // Qwen2.5 as transformers stores it: its table is padded beyond the tokenizer's words, lm_head is tied.
  const trunk = specs.filter(([name]) => name.startsWith('showo.model.'));
  qwen = random(Object.fromEntries(trunk.map(([name, shape]) => [name.replace('showo.', ''), shape])));
  const [rows, width] = qwen['model.embed_tokens.weight']!.shape as [number, number];
  qwen['model.embed_tokens.weight'] = tf.randomNormal([rows + 7, width], 0, 0.1, 'float32', 99);
  await saveSafetensors(join(languageModel, 'model.safetensors'), qwen, { shardSize: 4000 });

  // SigLIP has one layer more than is used, a text tower, and parts before and after the encoder.
  const encoder = specs.filter(([name]) => name.startsWith('und_trans.'));
  const layers = Object.fromEntries(
    encoder.map(([name, shape]) => [name.replace('und_trans.', 'vision_model.encoder.'), shape]),
  );
  const extra = Object.fromEntries(
    encoder
      .filter(([name]) => name.startsWith('und_trans.layers.0.'))
      .map(([name, shape]) => [
        name.replace('und_trans.layers.0', `vision_model.encoder.layers.${config.vision.layers}`),
        shape,
      ]),
  );
  vision = random({
    ...{ ...layers, ...extra, logit_scale: [1] },
    'vision_model.embeddings.position_embedding.weight': [config.positionGrid ** 2, config.vision.hiddenSize],
    'vision_model.embeddings.patch_embedding.weight': [config.vision.hiddenSize, 3, 14, 14],
    'vision_model.post_layernorm.weight': [config.vision.hiddenSize],
    'text_model.embeddings.token_embedding.weight': [5, 8],
  });
  await saveSafetensors(join(siglip, 'model.safetensors'), vision);
});

describe('showo2FromFoundations', () => {
  it('is Qwen2.5 and SigLIP under upstream’s names, and new elsewhere', async () => {
    const params = await showo2FromFoundations({ languageModel, siglip }, config, 7);
    const specs = showo2ParameterSpecs(config);
    expect(Object.keys(params).sort()).toEqual(Object.keys(specs).sort());
    for (const [name, { shape }] of Object.entries(specs)) expect(params[name]!.shape, name).toEqual(shape);
    const same = (name: string, from: tf.Tensor) =>
      expect([...params[name]!.dataSync()], name).toEqual([...from.dataSync()]);
    const last = config.trunk.layers - 1;
    same(`showo.model.layers.${last}.mlp.up_proj.weight`, qwen[`model.layers.${last}.mlp.up_proj.weight`]!);
    same('und_trans.layers.1.mlp.fc2.bias', vision['vision_model.encoder.layers.1.mlp.fc2.bias']!);
    same('position_embedding.weight', vision['vision_model.embeddings.position_embedding.weight']!);
    const table = qwen['model.embed_tokens.weight']!;
    same('showo.model.embed_tokens.weight', tf.slice(table, [0, 0], [config.vocabSize, -1]));
    const again = await showo2FromFoundations({ languageModel, siglip }, config, 7);
    same('fusion_proj.1.weight', again['fusion_proj.1.weight']!);

    const x = tf.ones([1, config.gridHeight * 2, config.gridWidth * 2, config.latentChannels]);
    const condition = encodePrompts(params, config, [[1, 2]]);
    const { velocity: v, features } = showo2Velocity(params, config, x, tf.tensor1d([0.5]), condition, {
      guidanceScale: 0,
    });
    expect(maxAbs(v.dataSync())).toBe(0);
    expect(maxAbs(features.conditional.dataSync())).toBeGreaterThan(0);
  });

  it('lists what the checkpoints lack, and leaves no tensors', async () => {
    const deeper = { ...config, vision: { ...config.vision, layers: config.vision.layers + 2 } };
    const before = tf.memory().numTensors;
    await expect(showo2FromFoundations({ languageModel, siglip }, deeper, 7)).rejects.toThrow(
      /und_trans\.layers\.3\./,
    );
    const wide = { ...config, vocabSize: 1000 };
    await expect(showo2FromFoundations({ languageModel, siglip }, wide, 7)).rejects.toThrow(
      /embed_tokens\.weight: expected \[1000,16\]/,
    );
    expect(tf.memory().numTensors).toBe(before);
  });
});
