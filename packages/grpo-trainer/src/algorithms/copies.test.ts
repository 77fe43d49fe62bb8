import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { memoryStore } from '../checkpoint/memory-store';
import type { GrpoConfigInput } from '../config/schema';
import type { EpochMetrics } from '../epoch-metrics';
import { gaussianFlow } from '../policies/gaussian-flow';
import { train } from '../train';
import { algorithms } from './registry';

const TARGETS: Record<string, [number, number]> = { east: [1, 0], north: [0, 1] };
const examples = Object.keys(TARGETS).map((prompt) => ({ prompt }));

const reward = (images: tf.Tensor4D, prompts: readonly string[]) => {
  const pixels = images.dataSync();
  return prompts.map((prompt, i) => {
    const [x, y] = TARGETS[prompt]!;
    return -((pixels[3 * i]! - x) ** 2) - (pixels[3 * i + 1]! - y) ** 2;
  });
};

const base: GrpoConfigInput = {
  epochs: 6,
  evalEvery: 1000,
  saveEvery: 3,
  sampling: { numSteps: 4, shift: 1, promptsPerEpoch: 2, samplesPerPrompt: 8 },
  training: { learningRate: 0.02, weightDecay: 0 },
  dgpo: { truncSteps: 3, betaDpo: 4, sampling: 'fast' },
  crd: { oldModelDecay: '0-0.25-0.05-0.9', samplingModelDecay: '2-0.5-0.05-0.9' },
  nft: { decayType: '0-0.5-0.05-0.9' },
  awm: { klEmaDecay: 0.9, klEmaDecayType: 'constant' },
  divergence: { action: 'off' },
};

const ALGORITHMS = ['nft', 'awm', 'dgpo', 'crd', 'flow-dppo'] as const;

/** The weights and what was reported, bit for bit. */
async function run(config: GrpoConfigInput, store = memoryStore()) {
  const epochs: EpochMetrics[] = [];
  const policy = gaussianFlow({ prompts: Object.keys(TARGETS), mean: [0.2, 0.2], std: 0.2 });
  const { trained, ema } = await train({
    ...{ policy, prompts: examples, scorer: reward, config, store, resume: 'auto' },
    onEpoch: (metrics) => void epochs.push(metrics),
  });
  const values = Object.values({ ...trained, ...ema }).map((value) => [...value.dataSync()]);
  tf.dispose([trained, ema, policy.params]);
  return { values, losses: epochs.map(({ loss }) => loss), rewards: epochs.map(({ reward: mean }) => mean) };
}

describe.each(ALGORITHMS)('%s', (algorithm) => {
  it('resumed from a checkpoint gives the same bits, its copies of the weights included', async () => {
    const whole = await run({ ...base, algorithm });
    const store = memoryStore();
    const first = await run({ ...base, algorithm, epochs: 3 }, store);
    const second = await run({ ...base, algorithm }, store);
    expect(first.losses).toHaveLength(3);
    expect([...first.losses, ...second.losses]).toEqual(whole.losses);
    expect([...first.rewards, ...second.rewards]).toEqual(whole.rewards);
    expect(second.values).toEqual(whole.values);
  });

  it('keeps no tensors beyond its result', async () => {
    await run({ ...base, algorithm, epochs: 1 });
    const before = tf.memory().numTensors;
    await run({ ...base, algorithm, epochs: 2 });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('learns nothing from rewards that are all equal, and stays where it is', async () => {
    const policy = gaussianFlow({ prompts: Object.keys(TARGETS), mean: [0.2, 0.2], std: 0.2 });
    const epochs: EpochMetrics[] = [];
    const config = { ...base, algorithm, epochs: 2, training: { learningRate: 1e-3, weightDecay: 0 } };
    const { trained, ema } = await train({
      ...{
        policy,
        prompts: examples,
        config,
        scorer: (_: tf.Tensor4D, prompts: readonly string[]) => prompts.map(() => 1),
      },
      onEpoch: (metrics) => void epochs.push(metrics),
    });
    for (const value of trained['mean.weight']!.dataSync()) expect(value).toBeCloseTo(0.2, 1);
    for (const { loss } of epochs) expect(Number.isFinite(loss ?? 0)).toBe(true);
    tf.dispose([trained, ema, policy.params]);
  });
});

describe('the frozen part of a policy', () => {
  /** Velocities that a pass of an update looks at, those that are measured before and after it included. */
  const WEIGHTS: Record<keyof typeof algorithms, number> = {
    // The second update of these measures before and after, which are as many calls again.
    grpo: 3,
    guard: 3,
    'flow-dppo': 3,
    nft: 3,
    awm: 4,
    dgpo: 3,
    crd: 3,
    dpo: 2,
    sft: 1,
    rwr: 1,
  };
  /** Their points are the rollout's, whose features were kept. */
  const RECORDED: readonly string[] = ['grpo', 'guard', 'flow-dppo'];

  it.each(Object.keys(algorithms) as (keyof typeof algorithms)[])(
    'runs once for all weights, with the same result: %s',
    async (algorithm) => {
      const counted = (withFeatures: boolean) => {
        const plain = gaussianFlow({
          prompts: Object.keys(TARGETS),
          mean: [0.2, 0.2],
          std: 0.2,
          withFeatures,
        });
        const calls = { whole: 0, fromFeatures: 0 };
        const policy: typeof plain = {
          ...plain,
          velocity: (call) => {
            if (call.purpose === 'training') calls.whole++;
            return plain.velocity(call);
          },
          ...(plain.velocityFromFeatures && {
            velocityFromFeatures: (call) => {
              calls.fromFeatures++;
              return plain.velocityFromFeatures!(call);
            },
          }),
        };
        return { policy, calls };
      };
      const weightsOf = async ({ policy }: ReturnType<typeof counted>) => {
        const config = {
          ...base,
          algorithm,
          epochs: 1,
          hacking: { action: 'off' }, // whose probe calls the policy, too
          dgpo: { ...base.dgpo, guidedReference: false },
          crd: { ...base.crd, guidedReference: false },
          grpo: { beta: 0.1 },
          guard: { beta: 0.1 },
          'flow-dppo': { beta: 0.1 },
        } satisfies GrpoConfigInput;
        const { trained, ema } = await train({ policy, prompts: examples, scorer: reward, config });
        const values = [...trained['mean.weight']!.dataSync()];
        tf.dispose([trained, ema, policy.params]);
        return values;
      };
      const [without, withFeatures] = [counted(false), counted(true)];
      const expected = await weightsOf(without);
      for (const [i, value] of (await weightsOf(withFeatures)).entries()) {
        expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-6);
      }
      const updates = 2;
      const calls = updates * WEIGHTS[algorithm];
      expect(without.calls).toEqual({ whole: calls, fromFeatures: 0 });
      const whole = RECORDED.includes(algorithm) ? 0 : updates;
      expect(withFeatures.calls).toEqual({ whole, fromFeatures: calls - whole });
    },
  );
});

describe('options that contradict the run', () => {
  it.each<[GrpoConfigInput, RegExp]>([
    [
      { algorithm: 'nft', nft: { timesPerImage: 5 } },
      /nft.timesPerImage \(5\) is larger than sampling.numSteps \(4\)/,
    ],
    [{ algorithm: 'nft', nft: { decayType: 9 } }, /decay 9 is neither one of 0, 1/],
    [{ algorithm: 'crd', crd: { oldModelDecay: '0-2-0-1' } }, /neither one of/],
    [
      { algorithm: 'dgpo', dgpo: { truncSteps: 4 } },
      /dgpo.truncSteps \(4\) must be below sampling.numSteps \(4\)/,
    ],
    [{ algorithm: 'dgpo', dgpo: { truncSteps: 2, timesPerImage: 4 } }, /larger than the 3 times/],
    [
      { algorithm: 'awm', awm: { lossType: 'sum_first' }, training: { stepsPerPass: 2 } },
      /sum_first needs all times of an image in one pass: leave out training.stepsPerPass/,
    ],
    [{ algorithm: 'flow-dppo', sampling: { noiseLevel: 0 } }, /no log-probability for flow-dppo/],
  ])('%j', async (more, message) => {
    const config = { ...base, ...more, sampling: { ...base.sampling, ...more.sampling } };
    await expect(run(config)).rejects.toThrow(message);
  });
});
