import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import {
  autoencoderSpecs,
  QWEN3_4B,
  textEncoderSpecs,
  transformerSpecs,
  Z_IMAGE_AUTOENCODER,
  Z_IMAGE_TRANSFORMER,
} from '../src/index';

interface Shapes {
  parameters: number;
  tensors_in_all: number;
  /** `*` stands for the layer's index. */
  tensors: Record<string, { shape: number[]; count: number }>;
}

describe.each(fixtureCases('z-image-transformer'))('$name', ({ dir }) => {
  const real = readJson<Record<string, Shapes>>(dir, 'real_shapes.json');
  const specs = {
    transformer: transformerSpecs(Z_IMAGE_TRANSFORMER),
    text_encoder: textEncoderSpecs(QWEN3_4B),
    vae: autoencoderSpecs(Z_IMAGE_AUTOENCODER),
  };

  it('has all parts', () => expect(Object.keys(real).sort()).toEqual(Object.keys(specs).sort()));

  it.each(Object.entries(specs))('knows names and shapes of the full-size %s', (part, own) => {
    const { tensors, parameters, tensors_in_all: count } = real[part]!;
    const found: Shapes['tensors'] = {};
    for (const [name, { shape }] of Object.entries(own)) {
      const layer = name.replace(/^(layers|noise_refiner|context_refiner)\.\d+\./, '$1.*.');
      found[layer] = { shape, count: (found[layer]?.count ?? 0) + 1 };
    }
    expect(found).toEqual(tensors);
    expect(Object.keys(own)).toHaveLength(count);
    const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
    expect(Object.values(own).reduce((sum, { shape }) => sum + size(shape), 0)).toBe(parameters);
  });
});
