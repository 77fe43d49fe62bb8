import { readdirSync } from 'node:fs';
import {
  expectClose,
  type FixtureTensor,
  fixtureCases,
  numbers,
  readJson,
  readTensors,
} from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, it } from 'vitest';
import { clipConfig } from './config';
import { normalized, pairedCosine } from './similarity';
import { clipText, clipVision, textInput } from './towers';

interface Description {
  variant?: string;
  config: unknown;
  /** How far two float32 runs of this very case may differ: ten times this is allowed. */
  float32_vs_float64: Record<string, { max_abs: number }>;
}

/** The published limits; the hidden states before a norm are larger, so theirs are ten times the measured error. */
const LIMITS = { hidden: 7e-5, features: 3e-5, embeds: 5e-6, logits: 4e-4, pickscore: 1e-5 };

const chosen = fixtureCases('rewards-clip').flatMap(({ name, dir }) =>
  readdirSync(dir)
    .filter(
      (file) => file.endsWith('.json') && readdirSync(dir).includes(file.replace('json', 'safetensors')),
    )
    .map((file) => ({ name: `${name}/${file}`, dir, file, description: readJson<Description>(dir, file) }))
    .filter(({ description }) => description.variant !== undefined),
);
if (chosen.length === 0) throw new Error('No rewards-clip case with a model.');

const rowsOf = (tensor: FixtureTensor): number[][] => {
  const [rows, length] = tensor.shape as [number, number];
  const values = numbers(tensor);
  return Array.from({ length: rows }, (_, i) => values.slice(i * length, (i + 1) * length));
};

describe.each(chosen)('CLIP, $name', ({ dir, file, description }) => {
  it('gives the features, embeddings, logits and PickScore of transformers', () => {
    const tensors = readTensors(dir, file.replace('.json', '.safetensors'));
    const params: Record<string, tf.Tensor> = {};
    for (const [name, { shape, data }] of Object.entries(tensors)) {
      if (!name.startsWith('weights.') || name.endsWith('position_ids')) continue;
      params[name.slice('weights.'.length)] = tf.tensor(data as Float32Array, shape);
    }
    const config = clipConfig(description.config);
    const measured = (name: string) => 10 * (description.float32_vs_float64[name]?.max_abs ?? 0);
    const expected = (name: string) => numbers(tensors[`out.${name}`]!);
    const check = (x: tf.Tensor, name: string, limit: number) =>
      expectClose(x.dataSync(), expected(name), Math.max(limit, measured(name)), name);

    const planes = tensors['in.pixel_values']!;
    const pixels = tf.transpose(tf.tensor(numbers(planes), planes.shape), [0, 2, 3, 1]);
    const vision = clipVision(params, config.vision, pixels);
    check(vision.hidden, 'vision_last_hidden_state', LIMITS.hidden);
    check(vision.pooled, 'vision_pooler_output', LIMITS.features);
    check(vision.features, 'image_features', LIMITS.features);
    check(normalized(vision.features), 'image_embeds', LIMITS.embeds);

    const ids = rowsOf(tensors['in.input_ids']!);
    const mask = rowsOf(tensors['in.attention_mask']!);
    const text = clipText(params, config.text, textInput(ids, config.text.eosTokenId, mask));
    check(text.hidden, 'text_last_hidden_state', LIMITS.features);
    check(text.pooled, 'text_pooler_output', LIMITS.features);
    check(text.features, 'text_features', LIMITS.features);
    check(normalized(text.features), 'text_embeds', LIMITS.embeds);

    const scale = tf.exp(params.logit_scale!);
    const cosines = tf.matMul(normalized(vision.features), normalized(text.features), false, true);
    check(tf.mul(cosines, scale), 'logits_per_image', LIMITS.logits);
    check(tf.transpose(tf.mul(cosines, scale)), 'logits_per_text', LIMITS.logits);
    const paired = tf.mul(pairedCosine(vision.features, text.features), scale);
    check(tf.div(paired, 26), 'pickscore', LIMITS.pickscore);
  });
});
