import { linear, mergeLora } from '@flow-grpo/nn';
import { planSteps, shiftedSchedule } from '@flow-grpo/sde-sampler';
import { maxAbsDiff, series } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { memoryStore } from '../checkpoint/memory-store';
import type { GrpoConfigInput } from '../config/schema';
import type { EpochMetrics } from '../epoch-metrics';
import type { Params, Policy } from '../policy';
import { train } from '../train';
import { gaussianFlow } from './gaussian-flow';
import { type LoraPolicyOptions, loraPolicy } from './lora-policy';

const STD = 0.2;
const WIDTH = 0.6;
const START = [0.2, 0.2] as const;
/** Their distances from the start lie on one line, so that a correction of rank 1 reaches both. */
const TARGETS: Record<string, [number, number]> = { east: [0.8, -0.1], west: [-0.4, 0.5] };
const PROMPTS = Object.keys(TARGETS);
const examples = PROMPTS.map((prompt) => ({ prompt }));

const scorer = (images: tf.Tensor4D, prompts: readonly string[]) => {
  const pixels = images.dataSync();
  return prompts.map((prompt, i) => {
    const [x, y] = TARGETS[prompt]!;
    const distance = (pixels[3 * i]! - x) ** 2 + (pixels[3 * i + 1]! - y) ** 2;
    return Math.exp(-distance / (2 * WIDTH ** 2));
  });
};

/** With the means on the targets, samples are N(target, a²): E = w² / (w² + a²), a the Euler map's slope. */
function bestReward(numSteps: number): number {
  let slope = 1;
  for (const { t, dt } of planSteps(shiftedSchedule(numSteps, 1), { rule: 'ode' })) {
    slope *= 1 + (dt * (t * STD ** 2 - (1 - t))) / ((1 - t) ** 2 + t ** 2 * STD ** 2);
  }
  return WIDTH ** 2 / (WIDTH ** 2 + slope ** 2);
}

type Gaussian = ReturnType<typeof gaussianFlow>;

/** A flow whose means are a dense layer's outputs, [2, prompts] for one prompt in each column. */
function denseFlow(lowRankLayers: boolean): Gaussian & Pick<Policy, 'lowRankLayers'> {
  const table = gaussianFlow({ prompts: PROMPTS, mean: [...START], std: STD });
  tf.dispose(table.params);
  const params: Params = { 'dense.weight': tf.tensor2d(START.map((x) => PROMPTS.map(() => x))) };
  return {
    ...table,
    params,
    trainable: ['dense.weight'],
    lowRankLayers,
    prepare: ({ trained, condition }) => {
      const columns = tf.eye(PROMPTS.length);
      const means = linear({ ...params, ...trained }, 'dense', tf.gather(columns, condition.index));
      return { means };
    },
  };
}

const policies = {
  'a table, as its weight': () => gaussianFlow({ prompts: PROMPTS, mean: [...START], std: STD }),
  'a dense layer, as its weight': () => denseFlow(false),
  'a dense layer that adds the product': () => denseFlow(true),
};

const base: GrpoConfigInput = {
  epochs: 60,
  evalEvery: 1000,
  saveEvery: 1000,
  evalBatchSize: 256,
  sampling: { numSteps: 6, shift: 1, promptsPerEpoch: 2, samplesPerPrompt: 16, window: { start: 1, end: 5 } },
  training: { learningRate: 0.04, schedule: 'linear', beta2: 0.99, weightDecay: 0 },
  ema: { decay: 0.5, interval: 1 },
  grpo: { clipRange: 0.2, globalStd: false },
  divergence: { action: 'off' },
};
const lora = { rank: 1, alpha: 1, seed: 3 } as const;

describe.each(Object.entries(policies))('adapters of %s', (_, make) => {
  it.each(series([0, 1, 2]))('come within 2 of 100 of the best reward, seed %d', async (seed) => {
    const plain = make();
    const [weight] = plain.trainable;
    const before = plain.params[weight!]!.dataSync().slice();
    const rewards: number[] = [];
    const { trained, ema } = await train({
      ...{ policy: loraPolicy(plain, lora), prompts: examples, scorer, config: { ...base, seed } },
      evalPrompts: Array.from({ length: 512 }, (_, i) => examples[i % 2]!),
      onEvaluation: ({ reward }) => void rewards.push(reward),
    });
    const layer = weight!.replace('.weight', '');
    expect(Object.keys(trained).sort()).toEqual([`${layer}.lora_A.weight`, `${layer}.lora_B.weight`]);
    expect(rewards.at(-1)).toBeGreaterThan(0.98 * bestReward(6));
    expect(rewards[0]).toBeLessThan(0.7 * bestReward(6));
    expect(plain.params[weight!]!.dataSync()).toEqual(before);
    tf.dispose([trained, ema, plain.params]);
  });
});

it('a sum made as the weight and a product added by the layer give the same velocity and gradients', () => {
  const gradientsOf = (lowRankLayers: boolean) => {
    const policy = loraPolicy(denseFlow(lowRankLayers), { rank: 2, alpha: 3, useRslora: true });
    const names = [...policy.trainable];
    const at = names.map((name) => tf.add(policy.params[name]!, 0.3));
    const condition = policy.encodePrompts(PROMPTS);
    const x = tf.tensor2d([0.1, 0.2, 0.5, -0.3], [2, 2]);
    const call = { condition, x, t: tf.tensor1d([0.3, 0.6]), rows: tf.tensor1d([0, 1], 'int32') };
    const { value, grads } = tf.valueAndGrads((...given: tf.Tensor[]) => {
      const trained = Object.fromEntries(names.map((name, i) => [name, given[i]!]));
      const prepared = policy.prepare!({ trained, condition, purpose: 'training' });
      const { velocity } = policy.velocity({ ...call, trained, prepared, purpose: 'training' });
      return tf.sum(tf.square(velocity)) as tf.Scalar;
    })(at);
    return [value, ...grads].map((each) => each.dataSync());
  };
  const [product, sum] = [gradientsOf(true), gradientsOf(false)];
  expect(product).toHaveLength(3);
  for (const [i, values] of product.entries()) expect(maxAbsDiff(values, sum[i]!)).toBeLessThan(1e-5);
  // The scale of a rank-stabilised adapter is alpha / √rank.
  expect(product[0]![0]).not.toBe(0);
});

it.each(Object.entries(policies))('without adapters is the policy itself: %s', (_, make) => {
  const plain = make();
  const policy = loraPolicy(plain, lora);
  const condition = plain.encodePrompts(PROMPTS);
  const call = { condition, purpose: 'training' } as const;
  const own = Object.fromEntries(plain.trainable.map((name) => [name, plain.params[name]!]));
  const [expected, actual] = [
    plain.prepare!({ ...call, trained: own }),
    policy.prepare!({ ...call, trained: policy.untrained! }),
  ];
  expect(actual.means.dataSync()).toEqual(expected.means.dataSync());
});

describe('a run', () => {
  /** What a run leaves: its adapters, bit for bit, and its losses. */
  const run = async (more: GrpoConfigInput, store = memoryStore(), options: LoraPolicyOptions = lora) => {
    const epochs: EpochMetrics[] = [];
    const policy = loraPolicy(denseFlow(true), options);
    const { trained, ema } = await train({
      ...{ policy, prompts: examples, scorer, store, resume: 'auto' },
      config: { ...base, ...more, training: { ...base.training, schedule: 'constant', ...more.training } },
      onEpoch: (metrics) => void epochs.push(metrics),
    });
    const values = Object.values({ ...trained, ...ema }).map((value) => [...value.dataSync()]);
    tf.dispose([trained, ema, policy.params]);
    return { values, epochs, losses: epochs.map(({ loss }) => loss) };
  };
  const [grpo, nft] = [
    { algorithm: 'grpo', grpo: { ...base.grpo, beta: 0.1 } },
    { algorithm: 'nft', nft: { decayType: '0-0.5-0.05-0.9' } },
  ] as const;

  it.each([grpo, nft])(
    'saves and averages adapters alone, and none for the reference: $algorithm',
    async (own) => {
      const store = memoryStore();
      const { epochs } = await run({ ...own, epochs: 2 }, store);
      const saved = await store.open((await store.list()).at(-1)!.name);
      const names: Record<string, string[]> = {};
      for (const part of saved.parts) {
        const params = await saved.read(part);
        names[part] = Object.keys(params).sort();
        tf.dispose(params);
      }
      const factors = ['dense.lora_A.weight', 'dense.lora_B.weight'];
      const under = (prefix: string) => factors.map((name) => `${prefix}.${name}`);
      expect(names).toEqual({
        trained: factors,
        ema: factors,
        optimizer: [...under('mean'), ...under('variance')],
        ...(own.algorithm === 'nft' && { copies: under('old') }),
      });
      // The reference is where training started from, and the policy leaves it.
      expect(epochs[1]!.kl).toBeGreaterThan(0);
    },
  );

  it.each([grpo, nft])('resumes to the bit: $algorithm', async (own) => {
    const whole = await run({ ...own, epochs: 4 });
    const store = memoryStore();
    const first = await run({ ...own, epochs: 2 }, store);
    const second = await run({ ...own, epochs: 4 }, store);
    expect([...first.losses, ...second.losses]).toEqual(whole.losses);
    expect(second.values).toEqual(whole.values);
  });

  it('starts with ratio 1 and KL 0, and keeps no tensors', async () => {
    const one = { ...grpo, epochs: 1, training: { updatesPerEpoch: 1 } };
    await run(one);
    const before = tf.memory().numTensors;
    const { epochs } = await run(one);
    expect(epochs[0]).toMatchObject({ maxRatioDeviation: 0, kl: 0 });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('goes on from given adapters, with the model without them as reference', async () => {
    const start = () => ({
      'dense.lora_A.weight': tf.tensor2d([[0.4, -0.4]]),
      'dense.lora_B.weight': tf.tensor2d([[1], [0.5]]),
    });
    const { epochs } = await run(
      { ...grpo, epochs: 1, training: { updatesPerEpoch: 1, learningRate: 0 } },
      memoryStore(),
      { rank: 1, alpha: 1, start: start() },
    );
    expect(epochs[0]!.kl).toBeGreaterThan(0);
    const policy = loraPolicy(denseFlow(true), { rank: 1, alpha: 1, start: start() });
    const merged = mergeLora(denseFlow(true).params, start(), { rank: 1, alpha: 1 });
    const condition = policy.encodePrompts(PROMPTS);
    const means = (trained: Params) =>
      policy.prepare!({ trained, condition, purpose: 'sampling' }).means.dataSync();
    const own = Object.fromEntries(policy.trainable.map((name) => [name, policy.params[name]!]));
    const expected = tf.transpose(merged['dense.weight']!).dataSync();
    expect(maxAbsDiff(means(own), expected)).toBeLessThan(1e-6);
    expect([...means({})].every((mean) => mean === Math.fround(0.2))).toBe(true);
  });
});

it.each<[LoraPolicyOptions, RegExp]>([
  [{ rank: 0, alpha: 1 }, /rank must be a positive integer, got 0/],
  [{ rank: 2.5, alpha: 1 }, /rank must be a positive integer, got 2.5/],
  [{ rank: 2, alpha: Number.NaN }, /alpha must be a number/],
  [{ rank: 2, alpha: 2, targets: ['to_q'] }, /matches the pattern 'to_q'.*dense/],
  [{ rank: 3, alpha: 2, init: 'orthogonal' }, /even rank, got 3/],
  [
    { rank: 2, alpha: 1, start: { 'sparse.lora_A.weight': tf.zeros([2, 2]) } },
    /sparse: the model has no such linear layer/,
  ],
  [
    {
      ...{ rank: 2, alpha: 1 },
      start: { 'dense.lora_A.weight': tf.zeros([1, 2]), 'dense.lora_B.weight': tf.zeros([2, 1]) },
    },
    /dense: \[1,2\] and \[2,1\] are not a rank 2 adapter of \[2,2\]/,
  ],
])('refuses %j', (options, message) => {
  expect(() => loraPolicy(denseFlow(true), options)).toThrow(message);
});
