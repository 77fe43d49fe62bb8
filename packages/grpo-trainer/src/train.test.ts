import { planSteps, shiftedSchedule } from '@flow-grpo/sde-sampler';
import { longOnly, series } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from './config/resolve';
import type { GrpoConfigInput } from './config/schema';
import type { EpochMetrics } from './epoch-metrics';
import { createEvaluator } from './evaluate';
import { gaussianFlow } from './policies/gaussian-flow';
import type { Scorer } from './scorer';
import { train } from './train';

const SEEDS = series([0, 1, 2]);
const WIDTH = 0.6;
const STD = 0.2;
const TARGETS: Record<string, [number, number]> = { east: [1, 0], north: [0, 1] };
const examples = Object.keys(TARGETS).map((prompt) => ({ prompt }));

/** exp(−|x − target|² / 2w²) */
const scorer: Scorer = {
  name: 'distance to a target',
  async score(images, prompts) {
    const pixels = await images.data();
    const scores = prompts.map((prompt, i) => {
      const [x, y] = TARGETS[prompt]!;
      const distance = (pixels[3 * i]! - x) ** 2 + (pixels[3 * i + 1]! - y) ** 2;
      return Math.exp(-distance / (2 * WIDTH ** 2));
    });
    return { scores, details: {} };
  },
};

/** With the mean on the target, samples are N(target, a²): E = w² / (w² + a²), a the Euler map's slope. */
function bestReward(numSteps: number, shift: number): number {
  let slope = 1;
  for (const { t, dt } of planSteps(shiftedSchedule(numSteps, shift), { rule: 'ode' })) {
    slope *= 1 + (dt * (t * STD ** 2 - (1 - t))) / ((1 - t) ** 2 + t ** 2 * STD ** 2);
  }
  return WIDTH ** 2 / (WIDTH ** 2 + slope ** 2);
}

const base: GrpoConfigInput = {
  epochs: 60,
  evalEvery: 1000,
  saveEvery: 1000,
  evalBatchSize: 256,
  sampling: { numSteps: 6, shift: 1, promptsPerEpoch: 2, samplesPerPrompt: 16, window: { start: 1, end: 5 } },
  training: {
    learningRate: 0.04,
    schedule: 'linear',
    beta2: 0.99,
    weightDecay: 0,
  },
  ema: { decay: 0.5, interval: 1 },
  grpo: { clipRange: 0.2, globalStd: false },
  guard: { clipRange: 0.2, globalStd: false },
  divergence: { action: 'off' },
};

const merge = (given: GrpoConfigInput): GrpoConfigInput => ({
  ...base,
  ...given,
  sampling: { ...base.sampling, ...given.sampling },
  training: { ...base.training, ...given.training },
  grpo: { ...base.grpo, ...given.grpo },
});

/**
 * The flow under classifier-free guidance, its unconditional branch a constant. Guided means u + scale·(c − u) are again
 * those of a Gaussian flow, so the best reward is the same; only the weights that give it are others.
 */
function guided(policy: ReturnType<typeof gaussianFlow>, scale: number): typeof policy {
  const unconditional = tf.tensor1d([0.3, 0.1]);
  return {
    ...policy,
    prepare: (call) => {
      const { means } = policy.prepare!(call);
      return { means: tf.add(unconditional, tf.mul(scale, tf.sub(means, unconditional))) };
    },
  };
}

/** The same with guidance in sampling alone: what trains is the plain flow. */
function guidedSampling(plain: ReturnType<typeof gaussianFlow>, scale: number): typeof plain {
  const { prepare } = guided(plain, scale);
  return {
    ...plain,
    prepare: (call) => (call.purpose === 'training' ? plain : { prepare }).prepare!(call),
    velocity: (call) => {
      const result = plain.velocity(call);
      if (call.purpose === 'training') return result;
      const prepared = plain.prepare!(call);
      return { ...result, training: plain.velocity({ ...call, prepared }).velocity };
    },
  };
}

interface RunOptions {
  readonly withFeatures?: boolean;
  /** What makes the policy of the plain flow. */
  readonly change?: (plain: ReturnType<typeof gaussianFlow>) => typeof plain;
}

async function run(config: GrpoConfigInput, { withFeatures = false, change = (p) => p }: RunOptions = {}) {
  const policy = change(
    gaussianFlow({ prompts: Object.keys(TARGETS), mean: [0.2, 0.2], std: STD, withFeatures }),
  );
  const rewards: number[] = [];
  const epochs: EpochMetrics[] = [];
  const result = await train({
    policy,
    prompts: examples,
    scorer,
    config,
    evalPrompts: Array.from({ length: 512 }, (_, i) => examples[i % 2]!),
    onEvaluation: ({ reward }) => void rewards.push(reward),
    onEpoch: (metrics) => void epochs.push(metrics),
  });
  return { result, rewards, epochs };
}

describe('a flow whose optimum is known', () => {
  const algorithms: Record<string, GrpoConfigInput> = {
    'Flow-GRPO': {},
    'GRPO-Guard': { algorithm: 'guard' },
    DPO: {
      epochs: 120,
      sampling: { samplesPerPrompt: 32 },
      algorithm: 'dpo',
      dpo: { beta: 4, timesPerImage: 8 },
      training: { updatesPerEpoch: 1 },
    },
    SFT: { algorithm: 'sft' },
    RWR: { algorithm: 'rwr', epochs: 150, sampling: { samplesPerPrompt: 32 } },
    'Flow-DPPO': { algorithm: 'flow-dppo' },
    DiffusionNFT: { algorithm: 'nft' },
    AWM: { algorithm: 'awm' },
    DGPO: { algorithm: 'dgpo', dgpo: { truncSteps: 5, betaDpo: 4, klWeight: 1e-3 } },
    CRD: { algorithm: 'crd' },
  };
  const options: Record<string, GrpoConfigInput> = {
    'Flow-GRPO-Fast window': { sampling: { window: { kind: 'random', start: 1, end: 5, size: 2 } } },
    'MixGRPO window': { sampling: { window: { kind: 'sliding', start: 1, end: 5, size: 2, interval: 4 } } },
    CPS: { sampling: { rule: 'cps', noiseLevel: 0.8 } },
    'same latent': { sampling: { sameLatent: true } },
    'global deviation': { grpo: { globalStd: true } },
    'KL on the step mean': { grpo: { beta: 1e-4 } },
    'KL on the velocity': { grpo: { beta: 1e-4, klTarget: 'velocity' } },
    'two inner epochs, cosine with warm-up': {
      training: { innerEpochs: 2, schedule: 'cosine', warmupSteps: 10, learningRate: 0.03 },
    },
    'several passes per update, a part of the steps': {
      sampling: { batchSize: 8 },
      training: { batchSize: 4 },
      grpo: { timestepFraction: 0.5 },
    },
    'Flow-DPPO with a KL': { algorithm: 'flow-dppo', 'flow-dppo': { beta: 1e-3, klMaskThreshold: 1e-3 } },
    'DiffusionNFT, a slow old policy, a time a pass': {
      algorithm: 'nft',
      epochs: 90,
      nft: { decayType: '0-0.5-0-0.5', timesPerImage: 2 },
      training: { stepsPerPass: 1 },
    },
    'AWM, one update, logit-normal times': {
      algorithm: 'awm',
      awm: { weighting: 'Uniform', timeType: 'logit_normal', lossType: 'sum_first' },
      training: { updatesPerEpoch: 1, learningRate: 0.06 },
    },
    'DGPO against fast weights, which draw': {
      algorithm: 'dgpo',
      dgpo: { truncSteps: 5, betaDpo: 4, klWeight: 0, groupReference: 'fast', sampling: 'fast' },
    },
    'CRD, weighted means, logistic loss': { algorithm: 'crd', crd: { weightTemp: 0.5, lossType: 'bce' } },
  };
  const variants = [...Object.entries(algorithms), ...longOnly(Object.entries(options))];
  const best = bestReward(6, 1);
  it.each(variants.flatMap(([name, config]) => SEEDS.map((seed) => [name, seed, config] as const)))(
    '%s reaches it, seed %d',
    async (_, seed, config) => {
      const { rewards, result } = await run({ ...merge(config), seed });
      expect(rewards[0]).toBeLessThan(0.5 * best);
      expect(rewards.at(-1)).toBeGreaterThan(0.98 * best);
      tf.dispose([result.trained, result.ema]);
    },
  );
});

describe('guidance', () => {
  const places = { 'in rollout and update': guided, 'in the rollout alone': guidedSampling };
  const cases = Object.entries(places).flatMap(([name, of]) =>
    SEEDS.map((seed) => [name, seed, of] as const),
  );
  it.each(cases)('%s reaches it too, seed %d', async (_, seed, of) => {
    const { rewards, result, epochs } = await run(
      { ...merge({ training: { learningRate: 0.02 } }), seed },
      { change: (plain) => of(plain, 2) },
    );
    expect(rewards.at(-1)).toBeGreaterThan(0.98 * bestReward(6, 1));
    for (const { maxLogProbMismatch } of epochs) expect(maxLogProbMismatch).toBeLessThan(1e-5);
    tf.dispose([result.trained, result.ema]);
  });
});

it('evaluates the average where there is one, and the weights where not', async () => {
  const evaluated = async (ema: { enabled?: boolean; decay?: number; interval: number }) => {
    const config = { ...merge({ epochs: 6 }), ema };
    const { rewards, result } = await run(config);
    const policy = gaussianFlow({ prompts: Object.keys(TARGETS), mean: [0, 0], std: STD });
    const evaluate = createEvaluator(
      policy,
      scorer,
      Array.from({ length: 512 }, (_, i) => examples[i % 2]!),
      resolveConfig(config),
    );
    const [average, weights] = [await evaluate(result.ema, 6), await evaluate(result.trained, 6)];
    tf.dispose([result.trained, result.ema]);
    return { last: rewards.at(-1)!, average: average.reward, weights: weights.reward };
  };
  const slow = await evaluated({ decay: 0.99, interval: 1 });
  expect(slow.last).toBe(slow.average);
  expect(slow.average).toBeLessThan(slow.weights); // it lags behind
  const none = await evaluated({ enabled: false, interval: 1 });
  expect(none.last).toBe(none.weights);
});

describe('the first update', () => {
  it.each([false, true])('has ratio 1 and KL 0 (features %s)', async (withFeatures) => {
    const { epochs } = await run(
      merge({ epochs: 1, training: { updatesPerEpoch: 1 }, grpo: { beta: 0.04 } }),
      {
        withFeatures,
      },
    );
    expect(epochs[0]!.maxRatioDeviation).toBe(0);
    expect(epochs[0]!.maxLogProbMismatch).toBe(0);
    expect(epochs[0]!.kl).toBe(0);
    expect(epochs[0]!.approxKl).toBe(0);
    expect(epochs[0]!.clipFraction).toBe(0);
  });
});

it('names weights that train for nothing', async () => {
  const policy = gaussianFlow({ prompts: Object.keys(TARGETS), mean: [0.2, 0.2], std: STD });
  const params = { ...policy.params, 'head.unused': tf.zeros([3]) };
  const idle = { ...policy, params, trainable: Object.keys(params) };
  await expect(train({ policy: idle, prompts: examples, scorer, config: base })).rejects.toThrow(
    /1 weights that train have no effect on the loss: head.unused; leave them out/,
  );
});

it('keeps no tensors beyond the result', async () => {
  const before = tf.memory().numTensors;
  const { result } = await run(merge({ epochs: 2, grpo: { beta: 0.01 } }));
  tf.dispose([result.trained, result.ema]);
  expect(tf.memory().numTensors - before).toBe(1); // the policy's own weights
});
