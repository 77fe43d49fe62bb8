import type { Params, Policy } from '@flow-grpo/grpo-trainer';
import * as tf from '@tensorflow/tfjs-core';
import { useBackend } from 'flow-grpo';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { diffusersPolicy } from './diffusers-model';
import { colourPolicy, PROMPTS } from './model';
import { pretrained, tune } from './train';

const policies: [string, (params: Params) => Policy<tf.Tensor2D>][] = [
  ['own convention', colourPolicy],
  ['diffusers', diffusersPolicy],
];

describe.each(['wasm', 'xla', 'cpu'])('on %s', (backend) => {
  let weights: Params;
  beforeAll(async () => {
    await useBackend(backend);
    weights = await pretrained(150);
  });
  afterAll(() => tf.dispose(weights));

  it.each(policies)('a model of %s becomes what is rewarded, and leaves no tensor', async (_, policyOf) => {
    const before = tf.memory().numTensors;
    const { rewards, weights: tuned } = await tune(policyOf(weights), 8);
    const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
    expect(mean(rewards.slice(-2))).toBeGreaterThan(mean(rewards.slice(0, 2)) + 0.02);
    tf.dispose(tuned);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('both conventions have the same velocity', () => {
    const [x, t, rows] = [
      tf.randomNormal([6, 3], 0, 1, 'float32', 1),
      tf.linspace(0, 1, 6),
      tf.zeros([6], 'int32'),
    ];
    const values = policies.map(([, policyOf]) => {
      const policy = policyOf(weights);
      const condition = policy.encodePrompts(PROMPTS);
      const call = {
        trained: weights,
        condition,
        x,
        t,
        rows: rows as tf.Tensor1D,
        purpose: 'sampling' as const,
      };
      return [...policy.velocity({ ...call, prepared: undefined }).velocity.dataSync()];
    });
    values[0]!.forEach((value, i) => {
      expect(values[1]![i]).toBeCloseTo(value, 5);
    });
  });

  it('draws warm and cool colours once it is pre-trained', () => {
    const policy = colourPolicy(weights);
    const condition = policy.encodePrompts(PROMPTS);
    let x: tf.Tensor = tf.randomNormal([200, 3], 0, 1, 'float32', 2);
    const rows = tf.tensor1d(
      Array.from({ length: 200 }, (_, i) => i % 2),
      'int32',
    );
    for (let step = 0; step < 20; step++) {
      const t = tf.fill([200], step / 20);
      const call = {
        trained: weights,
        condition,
        x,
        t,
        rows,
        purpose: 'sampling' as const,
        prepared: undefined,
      };
      x = tf.add(x, tf.div(policy.velocity(call).velocity, 20));
    }
    const colours = tf.reshape(policy.decode(x), [100, 2, 3]);
    const [warm, cool] = tf.mean(colours, 0).arraySync() as number[][] as [number[], number[]];
    expect(warm[0]!).toBeGreaterThan(warm[2]! + 0.2);
    expect(cool[2]!).toBeGreaterThan(cool[0]! + 0.2);
  });
});
