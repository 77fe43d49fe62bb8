import { readdirSync } from 'node:fs';
import { expectClose, fixtureCases, numbers, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { normalized } from '../clip/similarity';
import { aestheticHead } from './aesthetic';

const files = fixtureCases('rewards-aesthetic').flatMap(({ name, dir }) =>
  readdirSync(dir)
    .filter((file) => file.endsWith('.safetensors'))
    .map((file) => ({ name: `${name}/${file}`, dir, file })),
);

describe('aesthetic head', () => {
  it('has cases', () => expect(files.length).toBeGreaterThan(0));

  it.each(files)('gives the scores of $name', ({ dir, file }) => {
    const tensors = readTensors(dir, file);
    const params: Record<string, tf.Tensor> = {};
    for (const [name, tensor] of Object.entries(tensors)) {
      if (name.startsWith('weights.')) params[name.slice(8)] = tf.tensor(numbers(tensor), tensor.shape);
    }
    const given = tensors['in.image_features']!;
    const features = tf.tensor(numbers(given), given.shape);
    expectClose(normalized(features).dataSync(), numbers(tensors['out.normalised']!), 1e-6, 'normalised');
    expectClose(aestheticHead(params, features).dataSync(), numbers(tensors['out.score']!), 1e-5, 'score');
  });
});
