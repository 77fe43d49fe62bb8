import '@flow-grpo/tfjs-backend-xla';
import { type EpochMetrics, loraPolicy, memoryStore, type Policy, train } from '@flow-grpo/grpo-trainer';
import { loraScale, mergeLora, type Params } from '@flow-grpo/nn';
import { showo2Policy } from '@flow-grpo/showo2-model/policy';
import { maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import { jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { brightness, tinyShowo2 } from '../../../showo2-model/src/testing/tiny-policy';
import { adaptedWeightsOf } from './lora';
import { ADAPTED_LAYERS } from './showo2';

const PARTS = {
  'the head': ADAPTED_LAYERS,
  'the trunk, layers stacked': ['showo.model.layers*_proj'],
} as const;
const LORA = { rank: 2, alpha: 3, useRslora: true } as const;

/** A policy of the tiny model, of which it gets a copy, and the names of its targets' weights. */
function policies(layers: readonly string[], guidanceScale: number) {
  const { params: shared, ...options } = tinyShowo2({ layers: 2 });
  const params = Object.fromEntries(Object.entries(shared).map(([name, value]) => [name, tf.clone(value)]));
  tf.dispose(shared);
  const weights = adaptedWeightsOf(params, LORA, layers);
  const plain = showo2Policy({ ...options, params, guidanceScale, stackLayers: true, train: weights });
  return { plain, adapted: loraPolicy(plain, { ...LORA, seed: 4 }) };
}

/** Loss and gradients by what trains, through features where the policy keeps any. */
function gradientsOf(policy: Policy, trained: Params) {
  const names = Object.keys(trained);
  const condition = policy.encodePrompts(['red', 'blue']);
  const x = random.normal(random.key(9), [3, 4, 4, 4]);
  const t = tf.tensor1d([0.2, 0.5, 0.8]);
  const rows = tf.tensor1d([0, 1, 1], 'int32');
  const upstream = random.normal(random.key(10), x.shape);
  const at = { condition, t, rows };
  const f = (weights: Params) => {
    const prepared = policy.prepare!({ trained: weights, condition, purpose: 'training' });
    const call = { ...at, trained: weights, prepared };
    const { velocity, features } = policy.velocity({ ...call, x, purpose: 'sampling' });
    const used = features ? policy.velocityFromFeatures!({ ...call, features }) : velocity;
    return tf.sum(tf.mul(used, upstream)) as tf.Scalar;
  };
  const both = jit((weights: Params) => {
    const made = tf.valueAndGrads((...given: tf.Tensor[]) =>
      f(Object.fromEntries(names.map((name, i) => [name, given[i]!]))),
    )(Object.values(weights));
    return { value: made.value, grads: Object.fromEntries(names.map((name, i) => [name, made.grads[i]!])) };
  });
  return both(trained);
}

describe.each(['xla', 'cpu'])('on %s', (backend) => {
  describe.each(Object.entries(PARTS))('adapters of %s', (_, layers) => {
    it.each([0, 3])(
      'have the gradients that follow from those of merged weights, guidance %d',
      async (guidance) => {
        await tf.setBackend(backend);
        const { plain, adapted } = policies(layers, guidance);
        const factors = Object.fromEntries(
          adapted.trainable.map((name, i) => [
            name,
            tf.add(
              adapted.params[name]!,
              tf.mul(0.1, random.normal(random.key(i), adapted.params[name]!.shape)),
            ),
          ]),
        );
        const own = gradientsOf(adapted as Policy, factors);
        const merged = mergeLora(plain.params, factors, LORA);
        const weights = Object.fromEntries(plain.trainable.map((name) => [name, merged[name]!]));
        const whole = gradientsOf(plain as Policy, weights);
        expect(plain.trainable.some((name) => name.includes('*'))).toBe(layers !== ADAPTED_LAYERS);
        expect(own.value.dataSync()[0]! / whole.value.dataSync()[0]!).toBeCloseTo(1, 4);
        // W + s B A: dA = s Bᵀ dW, dB = s dW Aᵀ, layer by layer in a stack.
        const s = loraScale(LORA);
        for (const name of plain.trainable) {
          const layer = name.replace(/\.weight$/, '');
          const [a, b] = ['A', 'B'].map((part) => factors[`${layer}.lora_${part}.weight`]!);
          const expected = {
            A: tf.mul(s, tf.matMul(b!, whole.grads[name]!, true, false)),
            B: tf.mul(s, tf.matMul(whole.grads[name]!, a!, false, true)),
          };
          for (const [part, gradient] of Object.entries(expected)) {
            const [actual, wanted] = [
              own.grads[`${layer}.lora_${part}.weight`]!.dataSync(),
              gradient.dataSync(),
            ];
            expect(maxAbs(wanted), `${layer} ${part}`).toBeGreaterThan(0);
            expect(maxAbsDiff(actual, wanted), `${layer} ${part}`).toBeLessThan(1e-4 * maxAbs(wanted) + 1e-6);
          }
        }
      },
    );
  });
});

describe('training adapters', () => {
  const run = async (
    layers: readonly string[],
    algorithm: 'grpo' | 'nft',
    epochs: number,
    store = memoryStore(),
  ) => {
    await tf.setBackend('xla');
    const { adapted, plain } = policies(layers, 0);
    const before = plain.params[plain.trainable[0]!]!.dataSync().slice();
    const metrics: EpochMetrics[] = [];
    const evaluations: number[] = [];
    const { trained, ema } = await train({
      ...{ policy: adapted, scorer: brightness, store, resume: 'auto' },
      prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
      evalPrompts: Array.from({ length: 16 }, (_, i) => ({ prompt: i % 2 ? 'red' : 'blue' })),
      onEvaluation: ({ reward }) => void evaluations.push(reward),
      config: {
        ...{ epochs, algorithm },
        sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4 },
        training: { learningRate: 3e-2, updatesPerEpoch: 1 },
        ema: { enabled: false },
        grpo: { clipRange: 0.1, beta: 0.01 },
        nft: { decayType: '0-0.5-0-0.5' },
        // Its rate is high, so that a few epochs show in the reward.
        divergence: { action: 'off' },
        hacking: { action: 'off' },
      },
      onEpoch: (one) => void metrics.push(one),
    });
    const values = Object.values({ ...trained, ...ema }).map((value) => [...value.dataSync()]);
    const names = Object.keys(trained);
    expect(plain.params[plain.trainable[0]!]!.dataSync()).toEqual(before);
    tf.dispose([trained, ema, adapted.params]);
    return { metrics, evaluations, values, names };
  };

  it.each(Object.entries(PARTS))('raises the reward: %s', async (_, layers) => {
    const { metrics, evaluations, names } = await run(layers, 'grpo', 12);
    expect(names.every((name) => /\.lora_[AB]\.weight$/.test(name))).toBe(true);
    expect(metrics[0]).toMatchObject({ maxRatioDeviation: 0, kl: 0 });
    expect(metrics[1]!.kl).toBeGreaterThan(0);
    expect(evaluations.at(-1)).toBeGreaterThan(evaluations[0]! + 0.02);
  });

  it.each(Object.entries(PARTS))('resumes to the bit, NFT with its old adapters: %s', async (_, layers) => {
    const whole = await run(layers, 'nft', 2);
    const store = memoryStore();
    const first = await run(layers, 'nft', 1, store);
    const second = await run(layers, 'nft', 2, store);
    const losses = ({ metrics }: typeof whole) => metrics.map(({ loss }) => loss);
    expect([...losses(first), ...losses(second)]).toEqual(losses(whole));
    expect(second.values).toEqual(whole.values);
  });
});

afterAll(() => tf.setBackend('xla'));
