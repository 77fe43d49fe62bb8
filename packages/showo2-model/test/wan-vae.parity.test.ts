import { type FixtureTensor, fixtureCases, readJson, readTensors } from '@flow-grpo/test-support';
import { useWasm } from '@flow-grpo/test-support/wasm';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  decodeInPieces,
  decodeVideo,
  encodeInPieces,
  encodeVideo,
  samplePosterior,
  vaeParamShapes,
} from '../src/wan-vae/index';
import { parseVaeConfig } from '../src/wan-vae/parse-config';
import { type Accuracy, channelsFirst, channelsLast, Expectations, toTensor } from './case';

await useWasm();

const video = (t: FixtureTensor) => channelsLast(toTensor(t)) as tf.Tensor5D;

describe.each(fixtureCases('wanvae-'))('$name', ({ dir }) => {
  const json = readJson<{ config: unknown; float32_vs_float64: Accuracy }>(dir, 'case.json');
  const config = parseVaeConfig(json.config, `${dir}/case.json`);
  const weights = readTensors(dir, 'model.safetensors');
  const params = Object.fromEntries(Object.entries(weights).map(([name, t]) => [name, toTensor(t)]));
  const inputs = readTensors(dir, 'inputs.safetensors');
  const outputs = new Expectations(readTensors(dir, 'outputs.safetensors'), json.float32_vs_float64);
  const close = (name: string, actual: tf.Tensor) => outputs.compare(name, channelsFirst(actual));

  it('has the parameters of the checkpoint', () => {
    const shapes = Object.fromEntries(Object.entries(weights).map(([name, t]) => [name, t.shape]));
    expect(vaeParamShapes(config)).toEqual(shapes);
  });

  it('agrees with every module of the image passes', () => {
    const intermediates = readTensors(dir, 'intermediates.safetensors');
    const expected = new Expectations(intermediates, json.float32_vs_float64, 'intermediates/');
    const observe = (name: string, value: tf.Tensor) => {
      const key = name.replaceAll('.', '_');
      if (expected.has(key)) expected.compare(key, channelsFirst(value));
    };
    encodeVideo(params, config, video(inputs.image!), { observe });
    decodeVideo(params, config, video(inputs.image_z!), { observe });
    expect(expected.forgotten).toEqual([]);
  });

  const mean = tf.tensor1d([...config.latentMean]);
  const std = tf.tensor1d([...config.latentStd]);
  for (const kind of ['image', 'video']) {
    for (const [way, run] of [
      ['whole', encodeVideo],
      ['in pieces', encodeInPieces],
    ] as const) {
      it(`encodes the ${kind}, ${way}`, () => {
        const result = run(params, config, video(inputs[kind]!));
        close(`${kind}_latent`, result.mean);
        close(`${kind}_latent_raw`, tf.add(tf.mul(result.mean, std), mean));
        close(`${kind}_log_var`, result.logVariance);
        const noise = video(inputs[`${kind}_posterior_noise`]!);
        close(`${kind}_latent_sampled`, samplePosterior(result, noise));
      });
    }
    it(`has the encoder's output of the ${kind}`, () => {
      const observe = (name: string, value: tf.Tensor) => {
        if (name === 'encoder') close(`${kind}_encoder_out`, value);
      };
      encodeVideo(params, config, video(inputs[kind]!), { observe });
    });
    for (const [way, run] of [
      ['whole', decodeVideo],
      ['in pieces', decodeInPieces],
    ] as const) {
      it(`decodes the ${kind}, ${way}`, () => {
        const raw = run(params, config, video(inputs[`${kind}_z`]!));
        close(`${kind}_decoded_raw`, raw);
        close(`${kind}_decoded`, tf.clipByValue(raw, -1, 1));
      });
    }
  }

  it('leaves no output of the case uncompared', () => {
    expect(outputs.forgotten).toEqual([]);
  });
});
