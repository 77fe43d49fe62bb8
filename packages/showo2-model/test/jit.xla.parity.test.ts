/** The denoiser as training uses it: one compiled function, unrolled and scanned, and its compiled gradients. */

import { stackLayers } from '@flow-grpo/nn';
import '@flow-grpo/tfjs-backend-xla';
import { expectClose, fixtureCases, maxAbs, numbers } from '@flow-grpo/test-support';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { describe, it } from 'vitest';
import {
  type Showo2Condition,
  encodeText,
  type Features,
  promptTokens,
  SHOWO2_LAYER_BASES,
  showo2Velocity,
  velocityFromFeatures,
} from '../src/index';
import { channelsFirst, channelsLast, loadCase, toPositions, toTensor } from './case';
import { useXla } from './xla';

await useXla();

describe.each(fixtureCases('showo2-tiny'))('$name', ({ dir }) => {
  const { json, config: read, params, read: file } = loadCase(dir);
  const config = { ...read, maxTextLength: 1000 };
  const given = file('inputs.safetensors');
  const outputs = file('outputs.safetensors');
  const positions = toPositions(given.modality_positions!);
  const rows = toTensor(given.text_tokens!).arraySync() as number[][];
  const prompts = rows.slice(0, rows.length / 2).map((row, i) => row.slice(1, positions[i]![0]![0] - 1));
  const half = (y: tf.Tensor) => tf.split(y, 2)[0] as tf.Tensor;
  const x = half(channelsLast(toTensor(given.latents!)));
  const t = half(toTensor(given.t!));
  const options = { guidanceScale: json.config.guidance_scale };
  const texts = { prompt: promptTokens(config, prompts), unconditional: promptTokens(config, [[]]) };
  const encode = (p: typeof params, all: typeof texts): Showo2Condition => ({
    prompt: encodeText(p, config, all.prompt.tokens, all.prompt.lengths),
    unconditional: encodeText(p, config, all.unconditional.tokens, all.unconditional.lengths),
  });
  const denoise = jit((p: typeof params, all: typeof texts, latents: tf.Tensor, times: tf.Tensor) => {
    const condition = encode(p, all);
    const { velocity: v, features } = showo2Velocity(p, config, latents, times, condition, options);
    return { v, condition, features };
  });

  it('gives the guided velocity, unrolled and scanned', () => {
    const expected = numbers(outputs.v_cfg!).slice(0, x.size);
    const unrolled = denoise(params, texts, x, t).v;
    expectClose(channelsFirst(unrolled).dataSync(), expected, 1e-4, 'unrolled');
    let stacked = params;
    for (const base of Object.values(SHOWO2_LAYER_BASES)) stacked = stackLayers(stacked, base);
    const scanned = denoise(stacked, texts, x, t).v.dataSync();
    expectClose(scanned, unrolled.dataSync(), 1e-5 * maxAbs(expected), 'scanned');
  });

  it('has the gradients of the head from kept features', () => {
    const weight = channelsLast(toTensor(outputs.cfg_loss_weight!));
    const expected = file('grads_head_cfg.safetensors');
    const names = Object.keys(expected);
    const { condition, features } = denoise(params, texts, x, t);
    const gradients = jit(
      (own: tf.Tensor[], all: typeof params, c: Showo2Condition, kept: Features, times: tf.Tensor) =>
        tf.grads((...xs: tf.Tensor[]) => {
          const p = { ...all, ...Object.fromEntries(names.map((name, i) => [name, xs[i]!])) };
          const v = velocityFromFeatures(p, config, kept, times, c, x.shape, options);
          return tf.mean(tf.mul(v, weight));
        })(own),
    );
    const own = names.map((name) => params[name]!);
    gradients(own, params, condition, features, t).forEach((gradient, i) => {
      const want = numbers(expected[names[i]!]!);
      expectClose(gradient.dataSync(), want, Math.max(1e-4 * maxAbs(want), 1e-7), names[i]);
    });
  });
});
