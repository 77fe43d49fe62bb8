import { readdirSync } from 'node:fs';
import { expectClose, fixtureCases, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { normalized } from '../clip/similarity';
import { aestheticHead } from './aesthetic';

const files = fixtureCases('rewards-aesthetic').flatMap(({ name, dir }) =>
  readdirSync(dir)
    .filter((file) => file.endsWith('.safetensors'))
    .map((file) => ({ name: `${name}/${file}`, dir, file })),
);

interface Description {
  /** How far two float32 runs of this very case may differ: ten times this is allowed. */
  float32_vs_float64: Record<string, { max_abs: number }>;
}

describe('aesthetic head', () => {
  it('has cases', () => expect(files.length).toBeGreaterThan(0));

  it.each(files)('gives the scores of $name', ({ dir, file }) => {
    const tensors = readTensors(dir, file);
    const { float32_vs_float64 } = readJson<Description>(dir, file.replace('.safetensors', '.json'));
    const check = (x: tf.Tensor, name: string, limit: number) => {
      const allowed = Math.max(limit, 10 * (float32_vs_float64[name]?.max_abs ?? 0));
      expectClose(x.dataSync(), numbers(tensors[`out.${name}`]!), allowed, name);
    };
    const params: Record<string, tf.Tensor> = {};
    for (const [name, tensor] of Object.entries(tensors)) {
      if (name.startsWith('weights.')) params[name.slice(8)] = tf.tensor(numbers(tensor), tensor.shape);
    }
    const given = tensors['in.image_features']!;
    const features = tf.tensor(numbers(given), given.shape);
    check(normalized(features), 'normalised', 1e-6);
    check(aestheticHead(params, features), 'score', 1e-5);
  });
});
