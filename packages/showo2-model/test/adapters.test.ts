import { fixtureCases, maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  encodePrompts,
  fitLatentPreview,
  fromPeft,
  initLora,
  mergeLora,
  previewLatents,
  toPeft,
  trainableNames,
  velocity,
  withLora,
} from '../src/index';
import { loadCase } from './case';

const { config, params } = loadCase(fixtureCases('showo2-tiny')[0]!.dir);
const shape = [
  1,
  config.gridHeight * config.patchSize,
  config.gridWidth * config.patchSize,
  config.latentChannels,
];
const run = (p: typeof params) => {
  const condition = encodePrompts(p, config, [[1, 2, 3]]);
  const x = tf.add(tf.zeros(shape), 0.3);
  return velocity(p, config, x, tf.tensor1d([0.4]), condition, { guidanceScale: 3 }).velocity.dataSync();
};

describe('LoRA', () => {
  const lora = { rank: 3, alpha: 6, patterns: [/diffusion_head_a.*self_attn\.[qv]_proj/, 'mlp.fc1'] };
  const fresh = initLora(params, lora, 5);
  const adapters = Object.fromEntries(
    Object.entries(fresh).map(([name, x]) => [name, name.includes('lora_B') ? tf.add(x, 0.05) : x]),
  );

  it('changes nothing at first', () => {
    expect(maxAbsDiff(run(withLora(params, fresh, lora)), run(params))).toBe(0);
  });

  it('gives the same merged and as a low-rank path', () => {
    const path = run(withLora(params, adapters, lora));
    const merged = run(mergeLora(params, adapters, lora));
    expect(maxAbsDiff(path, run(params))).toBeGreaterThan(1e-3);
    expect(maxAbsDiff(path, merged)).toBeLessThan(1e-5 * maxAbs(merged));
  });

  it('passes gradients to both factors', () => {
    const names = Object.keys(adapters);
    const { grads } = tf.valueAndGrads((...xs: tf.Tensor[]) => {
      const own = Object.fromEntries(names.map((name, i) => [name, xs[i]!]));
      const p = withLora(params, own, lora);
      const condition = encodePrompts(p, config, [[1, 2, 3]]);
      const x = tf.add(tf.zeros(shape), 0.3);
      const { velocity: v } = velocity(p, config, x, tf.tensor1d([0.4]), condition, { guidanceScale: 3 });
      return tf.mean(tf.square(v)) as tf.Scalar;
    })(names.map((name) => adapters[name]!));
    grads.forEach((grad, i) => {
      expect(maxAbs(grad.dataSync()), names[i]).toBeGreaterThan(0);
    });
  });

  it('goes through PEFT and back, and refuses other layouts', () => {
    const { tensors, config: peft } = toPeft(adapters, lora);
    expect(Object.keys(tensors)[0]).toMatch(/^base_model\.model\..*\.lora_A\.weight$/);
    expect(fromPeft(tensors, peft)).toEqual({ adapters, rank: 3, alpha: 6 });
    expect(() => fromPeft({ stray: tf.scalar(1) }, peft)).toThrow(/stray/);
    expect(() => fromPeft(tensors, { ...peft, use_dora: true })).toThrow(/DoRA/);
    expect(() => fromPeft(tensors, { ...peft, r: 4 })).toThrow(/rank 4/);
  });
});

describe('trainableNames', () => {
  it('takes the diffusion head by default, and everything but the tied projection with all', () => {
    const head = trainableNames(params);
    expect(head.length).toBeGreaterThan(10);
    for (const name of head) expect(name).toMatch(/^diffusion_head_[ab]/);
    expect(trainableNames(params, ['all'])).not.toContain('showo.lm_head.weight');
  });
});

describe('latent preview', () => {
  it('recovers a linear decoder', async () => {
    const latents = tf.randomNormal([2, 4, 4, 5], 0, 1, 'float32', 3) as tf.Tensor4D;
    const mix = tf.randomNormal([5, 3], 0, 0.05, 'float32', 4) as tf.Tensor2D;
    const flat = tf.matMul(tf.reshape(latents, [-1, 5]) as tf.Tensor2D, mix);
    const colours = tf.reshape(tf.add(flat, 0.5), [2, 4, 4, 3]) as tf.Tensor4D;
    const images = tf.image.resizeNearestNeighbor(colours, [8, 8]);
    const { preview, explained } = await fitLatentPreview(latents, images);
    expect(explained).toBeGreaterThan(0.999);
    expect(maxAbsDiff(previewLatents(preview, latents).dataSync(), colours.dataSync())).toBeLessThan(1e-3);
  });
});
