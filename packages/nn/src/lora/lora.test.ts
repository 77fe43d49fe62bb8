import { maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  initLora,
  linear,
  loraScale,
  loraTargets,
  mergeLora,
  type Params,
  stackLora,
  unstackLora,
  withLora,
} from '../index';

const layer = (seed: number) => tf.randomNormal([6, 4], 0, 1, 'float32', seed);
const apart: Params = {
  'blocks.0.attention.to_q.weight': layer(1),
  'blocks.1.attention.to_q.weight': layer(2),
  'blocks.0.norm.weight': tf.ones([4]),
  'blocks.1.norm.weight': tf.ones([4]),
  'blocks.0.mlp.1.weight': layer(3),
  'blocks.1.mlp.1.weight': layer(4),
  'token_embedding.weight': tf.zeros([9, 4]),
  'out.weight': tf.randomNormal([3, 8], 0, 1, 'float32', 5),
};
const stacked: Params = {
  'out.weight': apart['out.weight']!,
  'token_embedding.weight': apart['token_embedding.weight']!,
  ...Object.fromEntries(
    ['norm', 'mlp.1', 'attention.to_q'].map((name) => [
      `blocks.*.${name}.weight`,
      tf.stack([0, 1].map((i) => apart[`blocks.${i}.${name}.weight`]!)),
    ]),
  ),
};
const config = { rank: 2, alpha: 3, targets: ['to_q', 'blocks.1.mlp*', 'out'] };
const layers = ['blocks.0.attention.to_q', 'blocks.1.attention.to_q', 'blocks.1.mlp.1', 'out'];

it('adapts linear layers alone, each under its own name, however they are laid out', () => {
  const matrices = [
    'blocks.0.mlp.1',
    'blocks.0.attention.to_q',
    'blocks.1.mlp.1',
    'blocks.1.attention.to_q',
    'out',
  ];
  for (const params of [apart, stacked]) {
    expect(loraTargets(params, ['all']).sort()).toEqual(matrices.sort());
    expect(loraTargets(params, config.targets).sort()).toEqual(layers);
    expect(() => loraTargets(params, ['norm'])).toThrow(/matches the pattern 'norm'/);
  }
});

describe.each(['kaiming', 'gaussian', 'orthogonal'] as const)('%s adapters', (init) => {
  const [one, two] = [apart, stacked].map((params) => initLora(params, { ...config, init }, 7)) as [
    Params,
    Params,
  ];

  it('are a function of the seed and the layer', () => {
    expect(Object.keys(two).sort()).toEqual(Object.keys(one).sort());
    for (const [name, value] of Object.entries(one))
      expect(two[name]!.dataSync(), name).toEqual(value.dataSync());
    const [q0, q1] = [0, 1].map((i) => one[`blocks.${i}.attention.to_q.lora_A.weight`]!.dataSync());
    expect(maxAbsDiff(q0!, q1!)).toBeGreaterThan(0.01);
    const other = initLora(apart, { ...config, init }, 8);
    expect(
      maxAbsDiff(other['out.lora_A.weight']!.dataSync(), one['out.lora_A.weight']!.dataSync()),
    ).toBeGreaterThan(0.01);
  });

  it('leave the model as it is', () => {
    const product = tf.matMul(
      one['out.lora_B.weight'] as tf.Tensor2D,
      one['out.lora_A.weight'] as tf.Tensor2D,
    );
    expect(maxAbs(product.dataSync())).toBeLessThan(1e-7);
    expect(maxAbs(one['out.lora_B.weight']!.dataSync()) > 0).toBe(init === 'orthogonal');
  });
});

it('has PEFT’s deviations: uniform within ±1/√in, or normal with 1/rank', () => {
  const wide = { 'wide.weight': tf.zeros([3, 400]) };
  const factor = (init: 'kaiming' | 'gaussian' | 'orthogonal', part: 'A' | 'B') =>
    initLora(wide, { rank: 16, alpha: 1, targets: ['wide'], init }, 1)[`wide.lora_${part}.weight`]!;
  const deviation = (x: tf.Tensor) => Math.sqrt(tf.mean(tf.square(x)).dataSync()[0]!);
  const bound = 1 / Math.sqrt(400);
  expect(maxAbs(factor('kaiming', 'A').dataSync())).toBeLessThanOrEqual(bound);
  expect(deviation(factor('kaiming', 'A')) / (bound / Math.sqrt(3))).toBeCloseTo(1, 1);
  expect(deviation(factor('gaussian', 'A')) * 16).toBeCloseTo(1, 1);
  // PEFT: (N(0, 1) [in, r/2] Q_odd)ᵀ / 10, whose rows' lengths are those of the normal numbers.
  expect(deviation(factor('orthogonal', 'A')) * 10 * Math.SQRT2).toBeCloseTo(1, 1);
});

it('scales by alpha / rank, or by alpha / √rank', () => {
  expect(loraScale({ rank: 16, alpha: 8 })).toBe(0.5);
  expect(loraScale({ rank: 16, alpha: 8, useRslora: true })).toBe(2);
});

describe.each([{}, { useRslora: true }])('adapters in effect, %j', (more) => {
  const scale = { rank: 2, alpha: 3, ...more };
  const adapters = Object.fromEntries(
    Object.entries(initLora(apart, config, 7)).map(([name, x]) => [name, tf.add(x, 0.1)]),
  );
  const x = tf.randomNormal([5, 4], 0, 1, 'float32', 9);

  it('are W + scale · B A, merged or as a low-rank path', () => {
    const merged = mergeLora(apart, adapters, scale);
    const path = withLora(apart, adapters, scale);
    for (const name of layers.slice(0, 3)) {
      const [a, b] = ['A', 'B'].map((factor) => adapters[`${name}.lora_${factor}.weight`] as tf.Tensor2D);
      const expected = tf.add(apart[`${name}.weight`]!, tf.mul(tf.matMul(b!, a!), loraScale(scale)));
      expect(maxAbsDiff(merged[`${name}.weight`]!.dataSync(), expected.dataSync())).toBeLessThan(1e-6);
      const [through, whole] = [linear(path, name, x), linear(merged, name, x)];
      expect(maxAbsDiff(through.dataSync(), whole.dataSync())).toBeLessThan(1e-5);
    }
    expect(merged['blocks.0.mlp.1.weight']).toBe(apart['blocks.0.mlp.1.weight']);
  });

  it('are stacked as the layers are, and come apart again', () => {
    const laidOut = stackLora(stacked, adapters);
    expect(Object.fromEntries(Object.entries(laidOut).map(([name, { shape }]) => [name, shape]))).toEqual({
      'blocks.*.attention.to_q.lora_A.weight': [2, 2, 4],
      'blocks.*.attention.to_q.lora_B.weight': [2, 6, 2],
      'blocks.*.mlp.1.lora_A.weight': [2, 2, 4],
      'blocks.*.mlp.1.lora_B.weight': [2, 6, 2],
      'out.lora_A.weight': [2, 8],
      'out.lora_B.weight': [3, 2],
    });
    const back = unstackLora(laidOut);
    for (const [name, value] of Object.entries(adapters))
      expect(back[name]!.dataSync()).toEqual(value.dataSync());
    expect(maxAbs(back['blocks.0.mlp.1.lora_A.weight']!.dataSync())).toBe(0);
    const [merged, expected] = [mergeLora(stacked, laidOut, scale), mergeLora(apart, adapters, scale)];
    for (const i of [0, 1]) {
      for (const name of ['attention.to_q', 'mlp.1']) {
        const whole = tf.unstack(merged[`blocks.*.${name}.weight`]!)[i]!;
        expect(maxAbsDiff(whole.dataSync(), expected[`blocks.${i}.${name}.weight`]!.dataSync())).toBeLessThan(
          1e-6,
        );
      }
    }
    const scales = withLora(stacked, laidOut, scale);
    expect([...scales['blocks.*.mlp.1.lora_scale']!.dataSync()]).toEqual(
      [1, 1].map(() => Math.fround(loraScale(scale))),
    );
  });

  it('keep no tensors beyond the result when they are merged', () => {
    const before = tf.memory().numTensors;
    const merged = mergeLora(stacked, adapters, scale);
    const made = Object.entries(merged).filter(([name, value]) => stacked[name] !== value).length;
    expect(tf.memory().numTensors).toBe(before + made);
  });
});
