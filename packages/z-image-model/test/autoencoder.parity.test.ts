import { fixtureCases } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { parseAutoencoderConfig } from '../src/autoencoder/config';
import {
  autoencoderSpecs,
  decodeLatents,
  decodeLatentsTiled,
  encodeImages,
  encodeImagesTiled,
  encodePosterior,
} from '../src/index';
import { type CaseJson, channelsFirst, channelsLast, Expectations, readCase, toTensor } from './case';

describe.each(fixtureCases('z-image-vae'))('$name', ({ dir }) => {
  const { json, read, params: weights } = readCase<CaseJson>(dir);
  const config = parseAutoencoderConfig(json.config, `${dir}/case.json`);
  const params = weights();
  const inputs = read('inputs.safetensors');
  const input = (name: string) => channelsLast(toTensor(inputs[name]!));
  const outputs = new Expectations(read('outputs.safetensors'), json.tolerances, 'outputs');
  const sizes = [...new Set(Object.keys(inputs).map((name) => name.split('.')[0]!))];

  it('has the parameters of the checkpoint', () => {
    const shapes = (record: Record<string, { shape: number[] }>) =>
      Object.fromEntries(Object.entries(record).map(([name, { shape }]) => [name, shape]));
    expect(shapes(autoencoderSpecs(config))).toEqual(shapes(params));
  });

  it.each(sizes)('encodes and decodes the size %s', (size) => {
    const image = input(`${size}.image`);
    const { mean, logVariance } = encodePosterior(params, config, image);
    outputs.compare(`${size}.mean`, channelsFirst(mean));
    outputs.compare(`${size}.logvar`, channelsFirst(logVariance));
    outputs.compare(`${size}.latent`, channelsFirst(encodeImages(params, config, image)));
    outputs.compare(`${size}.decoded`, channelsFirst(decodeLatents(params, config, input(`${size}.z`))));
  });

  it('agrees with every module', () => {
    const expected = new Expectations(read('intermediates.safetensors'), json.tolerances, 'intermediates');
    const seen = (name: string, value: tf.Tensor) => {
      const key = name
        .replace('mid_block', 'mid')
        .replace(/(down|up)_blocks\./, '$1_')
        .replace(/(resnet|attention)s\./, '$1_')
        .replace(/(down|up)samplers\.0/, '$1sampler')
        .replace('conv_norm_out', 'norm_out');
      if (!expected.has(key)) return;
      const first = channelsFirst(value);
      const shape = expected.shapeOf(key);
      expected.compare(key, shape.length === 3 ? tf.reshape(first, [...first.shape.slice(0, 2), -1]) : first);
    };
    encodePosterior(params, config, input('wide.image'), seen);
    decodeLatents(params, config, input('wide.z'), seen);
    expect(expected.forgotten).toEqual([]);
  });

  it.each(sizes)('gives the same for the size %s in one tile', (size) => {
    const image = input(`${size}.image`);
    const tile = Math.max(image.shape[1], image.shape[2]);
    const decoded = decodeLatentsTiled(params, config, input(`${size}.z`), { tile, overlap: 8 });
    outputs.compare(`${size}.decoded`, channelsFirst(decoded));
    outputs.compare(
      `${size}.latent`,
      channelsFirst(encodeImagesTiled(params, config, image, { tile, overlap: 8 })),
    );
  });

  it('leaves no output of the case uncompared', () => {
    expect(outputs.forgotten).toEqual([]);
  });
});
