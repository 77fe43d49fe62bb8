import {
  expectClose,
  type FixtureTensor,
  fixtureCases,
  numbers,
  readJson,
  readTensors,
} from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  decode,
  decodeInPieces,
  encode,
  encodeInPieces,
  samplePosterior,
  vaeParamShapes,
} from '../src/wan-vae/index';
import { parseVaeConfig } from '../src/wan-vae/parse-config';
import { channelsFirst, channelsLast, toTensor } from './case';

/** Tolerances from the fixtures' README: outputs, and outputs of single modules. */
const OUTPUT = 2e-5;
const INTERMEDIATE = 5e-5;

const video = (t: FixtureTensor) => channelsLast(toTensor(t)) as tf.Tensor5D;
const close = (actual: tf.Tensor, expected: FixtureTensor, tolerance: number, label: string) => {
  expect(channelsFirst(actual).shape, label).toEqual(expected.shape);
  expectClose(channelsFirst(actual).dataSync(), numbers(expected), tolerance, label);
};

describe.each(fixtureCases('wanvae-'))('$name', ({ dir }) => {
  const config = parseVaeConfig(readJson<{ config: unknown }>(dir, 'case.json').config, `${dir}/case.json`);
  const weights = readTensors(dir, 'model.safetensors');
  const params = Object.fromEntries(Object.entries(weights).map(([name, t]) => [name, toTensor(t)]));
  const inputs = readTensors(dir, 'inputs.safetensors');
  const outputs = readTensors(dir, 'outputs.safetensors');
  const intermediates = readTensors(dir, 'intermediates.safetensors');

  it('has the parameters of the checkpoint', () => {
    const shapes = Object.fromEntries(Object.entries(weights).map(([name, t]) => [name, t.shape]));
    expect(vaeParamShapes(config)).toEqual(shapes);
  });

  it('agrees with every module of the image passes', () => {
    const missing = new Set(Object.keys(intermediates));
    const observe = (name: string, value: tf.Tensor) => {
      const key = name.replaceAll('.', '_');
      if (!missing.delete(key)) return;
      close(value, intermediates[key]!, INTERMEDIATE, name);
    };
    encode(params, config, video(inputs.image!), { observe });
    decode(params, config, video(inputs.image_z!), { observe });
    expect([...missing]).toEqual([]);
  });

  for (const kind of ['image', 'video']) {
    for (const [way, run] of [
      ['whole', encode],
      ['in pieces', encodeInPieces],
    ] as const) {
      it(`encodes the ${kind}, ${way}`, () => {
        const result = run(params, config, video(inputs[kind]!));
        close(result.mean, outputs[`${kind}_latent`]!, OUTPUT, 'latent');
        close(result.logVariance, outputs[`${kind}_log_var`]!, OUTPUT, 'log variance');
        const noise = video(inputs[`${kind}_posterior_noise`]!);
        close(samplePosterior(result, noise), outputs[`${kind}_latent_sampled`]!, OUTPUT, 'sample');
      });
    }
    for (const [way, run] of [
      ['whole', decode],
      ['in pieces', decodeInPieces],
    ] as const) {
      it(`decodes the ${kind}, ${way}`, () => {
        const raw = run(params, config, video(inputs[`${kind}_z`]!));
        close(raw, outputs[`${kind}_decoded_raw`]!, OUTPUT, 'decoded');
        close(tf.clipByValue(raw, -1, 1), outputs[`${kind}_decoded`]!, OUTPUT, 'decoded and clamped');
      });
    }
  }
});
