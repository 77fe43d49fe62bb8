/** What a run leaves of functions whose authors dispose of nothing: no tensor. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import '@flow-grpo/tfjs-backend-xla';
import { gaussianFlow } from './policies/gaussian-flow';
import type { Policy } from './policy';
import type { RewardFunction } from './scorer';
import { train } from './train';
import type { TrainOptions } from './train-options';

const PROMPTS = ['a', 'b'];
const examples = PROMPTS.map((prompt) => ({ prompt }));

/** Tensors that nobody asked for. */
const litter = () => void tf.add(tf.ones([3]), 1);
const nextTask = () => new Promise<void>((resolve) => setTimeout(resolve));

const flow = () =>
  gaussianFlow({ prompts: PROMPTS, mean: [0.2, 0.2], std: 0.2, withFeatures: true }) as Policy;
const littering = (name: 'encodePrompts' | 'prepare' | 'velocity' | 'velocityFromFeatures' | 'decode') => {
  const policy = flow();
  const own = policy[name] as (...args: unknown[]) => unknown;
  return {
    ...policy,
    [name]: (...args: unknown[]) => {
      litter();
      return own(...args);
    },
  } as Policy;
};

const brightest = (images: tf.Tensor4D) => tf.max(tf.abs(images), [1, 2, 3]);
const scorers: Record<string, RewardFunction> = {
  'answers at once': (images) => brightest(images).dataSync(),
  'makes tensors before it waits': async (images) => brightest(images).data(),
  'makes tensors after it waited': async (images) => {
    const pixels = tf.tensor4d(await images.data(), images.shape);
    await nextTask();
    const [first, second] = [tf.mean(pixels, [1, 2, 3]), brightest(pixels)];
    return tf.add(first, second).data();
  },
};

const cases: [string, () => Partial<TrainOptions<unknown, unknown>>][] = [
  ...(['encodePrompts', 'prepare', 'velocity', 'velocityFromFeatures', 'decode'] as const).map(
    (name) => [`policy.${name}`, () => ({ policy: littering(name) })] as [string, () => object],
  ),
  ...Object.entries(scorers).map(
    ([how, scorer]) => [`a reward that ${how}`, () => ({ scorer })] as [string, () => object],
  ),
  ...Object.entries(scorers).map(
    ([how, other]) =>
      [`a reward of evaluations that ${how}`, () => ({ evalRewards: { other } })] as [string, () => object],
  ),
  [
    'a scorer object',
    () => ({
      scorer: {
        name: 'own',
        async score(images) {
          await nextTask();
          return { scores: Array.from(await brightest(images).data()), details: {} };
        },
      },
    }),
  ],
  ...(['onEpoch', 'onEvaluation'] as const).map(
    (name) =>
      [
        `${name}, before and after it waits`,
        () => ({
          [name]: async () => {
            litter();
            await nextTask();
            litter();
          },
        }),
      ] as [string, () => object],
  ),
  ...(['onProgress', 'onMessage', 'onCompile'] as const).map(
    (name) => [name, () => ({ [name]: litter })] as [string, () => object],
  ),
];

describe.each(['cpu', 'xla'])('on %s', (backend) => {
  beforeAll(() => tf.setBackend(backend));

  it.each(cases)('nothing is left of what %s makes', async (_, careless) => {
    const { policy = flow(), ...more } = careless();
    const before = tf.memory().numTensors;
    const { reason, trained, ema } = await train({
      prompts: examples,
      evalPrompts: examples,
      scorer: async (images) => Array.from(await images.data()).filter((__, i) => i % 3 === 0),
      ...more,
      policy,
      config: {
        epochs: 2,
        sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4, batchSize: 4 },
        training: { learningRate: 0.01 },
      },
    });
    expect(reason).toBe('finished');
    expect([...trained['mean.weight']!.dataSync()].every(Number.isFinite)).toBe(true);
    tf.dispose([trained, ema]);
    expect(tf.memory().numTensors).toBe(before);
  });
});

it('a scorer that reuses what it made before is told how to keep it', async () => {
  await tf.setBackend('cpu');
  const run = (keep: <T extends tf.Tensor>(tensor: T) => T) => {
    let threshold: tf.Tensor | undefined;
    return train({
      policy: flow(),
      prompts: examples,
      scorer: async (images) => {
        threshold ??= keep(tf.scalar(0.5));
        return tf.min(tf.sub(images, threshold), [1, 2, 3]).data();
      },
      config: {
        epochs: 2,
        sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4 },
        training: { learningRate: 0.01 },
      },
    });
  };
  await expect(run((tensor) => tensor)).rejects.toThrow(/what a scorer makes in a call is freed.*tf\.keep/);
  expect((await run(tf.keep)).reason).toBe('finished');
});
