import { initLora, mergeLora, unstackLayers, withLora } from '@flow-grpo/nn';
import { fixtureCases, maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { encodePrompts, showo2Velocity } from '../src/index';
import { SHOWO2_LAYER_BASES, stackFrozen } from '../src/layers';
import { loadCase } from './case';

const { config, params } = loadCase(fixtureCases('showo2-tiny')[0]!.dir);
const shape = [
  1,
  config.gridHeight * config.patchSize,
  config.gridWidth * config.patchSize,
  config.latentChannels,
];
const velocityOf = (p: typeof params) => {
  const condition = encodePrompts(p, config, [[1, 2, 3]]);
  return showo2Velocity(p, config, tf.fill(shape, 0.3), tf.tensor1d([0.4]), condition, { guidanceScale: 3 })
    .velocity;
};
const run = (p: typeof params) => velocityOf(p).dataSync();
/** The model with all layers stacked; the given tensors stay. */
const stack = (p: typeof params) =>
  stackFrozen(Object.fromEntries(Object.entries(p).map(([name, x]) => [name, tf.clone(x)])));

const lora = { rank: 3, alpha: 6, targets: [/diffusion_head_a.*self_attn\.[qv]_proj/, 'mlp.fc1'] };
const fresh = initLora(params, lora, 5);
const adapters = Object.fromEntries(
  Object.entries(fresh).map(([name, x]) => [name, name.includes('lora_B') ? tf.add(x, 0.05) : x]),
);

describe('LoRA', () => {
  it('changes nothing at first', () => {
    expect(maxAbsDiff(run(withLora(params, fresh, lora)), run(params))).toBe(0);
  });

  it('gives the same merged and as a low-rank path', () => {
    const path = run(withLora(params, adapters, lora));
    const merged = run(mergeLora(params, adapters, lora));
    expect(maxAbsDiff(path, run(params))).toBeGreaterThan(1e-3);
    expect(maxAbsDiff(path, merged)).toBeLessThan(1e-5 * maxAbs(merged));
  });

  it('is the same on stacked layers, all of them adapted or some', () => {
    const first = `${SHOWO2_LAYER_BASES.trunk}0.self_attn.k_proj`;
    const some = { ...lora, targets: [...lora.targets, first] };
    const few = Object.fromEntries(
      Object.entries(initLora(params, some, 5)).map(([name, x]) => [name, tf.add(x, 0.05)]),
    );
    const expected = run(mergeLora(params, few, some));
    expect(maxAbsDiff(run(mergeLora(params, adapters, lora)), expected)).toBeGreaterThan(1e-4);
    const stacked = stack(params);
    expect(maxAbsDiff(run(withLora(stacked, few, some)), expected)).toBeLessThan(1e-5 * maxAbs(expected));
    const merged = mergeLora(stacked, few, some);
    expect(maxAbsDiff(run(merged), expected)).toBeLessThan(1e-5 * maxAbs(expected));
    const names = Object.values(SHOWO2_LAYER_BASES).reduce(unstackLayers, merged);
    expect(Object.keys(names).sort()).toEqual(Object.keys(params).sort());
    expect(Object.keys(initLora(stacked, some, 5)).sort()).toEqual(Object.keys(few).sort());
  });

  it.each([
    ['one by one', (p: typeof params) => p],
    ['stacked', stack],
  ])('passes gradients to both factors, layers %s', (_, arrange) => {
    const base = arrange(params);
    const names = Object.keys(adapters);
    const { grads } = tf.valueAndGrads((...xs: tf.Tensor[]) => {
      const own = Object.fromEntries(names.map((name, i) => [name, xs[i]!]));
      return tf.mean(tf.square(velocityOf(withLora(base, own, lora)))) as tf.Scalar;
    })(names.map((name) => adapters[name]!));
    grads.forEach((grad, i) => {
      expect(maxAbs(grad.dataSync()), names[i]).toBeGreaterThan(0);
    });
  });

  it('lists adapters that do not fit the model', () => {
    const stray = {
      ...adapters,
      'nowhere.lora_A.weight': tf.zeros([3, 4]),
      'nowhere.lora_B.weight': tf.zeros([4, 3]),
      'fusion_proj.1.lora_A.weight': tf.zeros([3, 1]),
      'fusion_proj.1.lora_B.weight': tf.zeros([1, 3]),
    };
    for (const use of [withLora, mergeLora]) {
      expect(() => use(params, stray, lora)).toThrow(/nowhere: the model has no.*fusion_proj\.1: \[3,1\]/s);
    }
  });
});
