import { maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { linear, type Params, runLayers, stackForTraining, stackLayers, unstackLayers } from './index';
import { stackedPlace } from './stacked-layers';

const weight = (seed: number) => tf.randomNormal([3, 3], 0, 0.5, 'float32', seed);
const make = (): Params => ({
  'first.weight': weight(1),
  'a.layers.0.up.0.weight': weight(2),
  'a.layers.1.up.0.weight': weight(3),
  'a.layers.0.up.1.weight': weight(4),
  'a.layers.1.up.1.weight': weight(5),
  'b.0.weight': weight(6),
  'b.1.weight': weight(7),
});

const x = tf.tensor2d([[1, 2, 3]]);
const run = (params: Params) =>
  runLayers(params, 'a.layers.', 2, x, (p, prefix, y) => [
    linear(p, `${prefix}up.1`, tf.tanh(linear(p, `${prefix}up.0`, y))),
  ]).x;

describe('stacked layers', () => {
  it('run as the layers one by one, gradients included', () => {
    const params = make();
    const stacked = stackLayers(params, 'a.layers.');
    expect(maxAbsDiff(run(stacked).dataSync(), run(params).dataSync())).toBeLessThan(1e-6);
    const gradient = (all: Params, name: string) =>
      tf.grad((w) => tf.sum(tf.square(run({ ...all, [name]: w }))))(all[name]!);
    const whole = gradient(stacked, 'a.layers.*.up.0.weight');
    for (const i of [0, 1]) {
      const one = gradient(params, `a.layers.${i}.up.0.weight`).dataSync();
      const part = tf.slice(whole, i, 1).dataSync();
      expect(maxAbs(one)).toBeGreaterThan(0);
      expect(maxAbsDiff(part, one)).toBeLessThan(1e-5 * maxAbs(one));
    }
  });

  it('have upstream’s names again when unstacked, numbers inside names included', () => {
    const params = make();
    const stacked = stackLayers(stackLayers(params, 'a.layers.'), 'b.');
    expect(Object.keys(stacked).sort()).toEqual([
      'a.layers.*.up.0.weight',
      'a.layers.*.up.1.weight',
      'b.*.weight',
      'first.weight',
    ]);
    const back = unstackLayers(stacked);
    expect(Object.keys(back).sort()).toEqual(Object.keys(params).sort());
    for (const [name, value] of Object.entries(params)) {
      expect(back[name]!.dataSync(), name).toEqual(value.dataSync());
    }
    expect(back['first.weight']).toBe(params['first.weight']);
    expect(Object.keys(unstackLayers(stacked, 'b.'))).toContain('a.layers.*.up.0.weight');
  });

  it('tell where a layer’s weight is', () => {
    const stacked = stackLayers(make(), 'a.layers.');
    expect(stackedPlace(stacked, 'a.layers.1.up.0.weight')).toEqual({
      name: 'a.layers.*.up.0.weight',
      index: 1,
    });
    expect(stackedPlace(stacked, 'b.1.weight')).toBeUndefined();
    expect(stackedPlace(stacked, 'first.weight')).toBeUndefined();
  });
});

describe('stackForTraining', () => {
  it('stacks where a weight trains in all layers or in none, and disposes of what it stacked', () => {
    const params = make();
    const kept = params['b.0.weight']!;
    const made = stackForTraining(
      params,
      ['a.layers.', 'b.'],
      ['a.layers.0.up.1.weight', 'a.layers.1.up.1.weight', 'b.1.weight'],
    );
    expect(made.trainable).toEqual(['a.layers.*.up.1.weight', 'b.1.weight']);
    expect(Object.keys(made.params)).toContain('a.layers.*.up.0.weight');
    expect(made.params['b.0.weight']).toBe(kept);
    expect(params['a.layers.0.up.0.weight']!.isDisposed).toBe(true);
  });
});
