import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import type { AlgorithmName } from './algorithms/registry';
import { checkDivergence, initialDivergenceState } from './divergence';
import type { EpochMetrics } from './epoch-metrics';
import { checkpointFolder } from './node/checkpoint-folder';
import { listCheckpoints } from './node/checkpoint-names';
import { gaussianFlow } from './policies/gaussian-flow';
import type { PrepareCall } from './policy';
import { train } from './train';

const options = {
  maxStepKl: 2e-5,
  maxVelocityChange: 1e-2,
  maxVelocityKl: 0.5,
  gradNormFactor: 100,
  rewardDrop: 2,
};
const calm = {
  epoch: 3,
  learningRate: 1e-4,
  loss: [0.1],
  gradNorm: [1],
  latentSize: 1024,
  moves: { stepKl: 1e-6, velocityChange: 1.5e-4, velocityKl: 0.05 },
  reward: 0.5,
  rewardStd: 0.1,
};

describe('checkDivergence', () => {
  it('is silent on a calm run', () => {
    let state = initialDivergenceState;
    for (let epoch = 0; epoch < 100; epoch++) {
      const seen = checkDivergence(state, { ...calm, epoch, reward: 0.5 + 0.05 * Math.sin(epoch) }, options);
      expect(seen.problem).toBeUndefined();
      state = seen.state;
    }
    expect(state.gradNorms).toHaveLength(50);
  });

  it('names a loss that is not finite', () => {
    expect(checkDivergence(initialDivergenceState, { ...calm, loss: [Number.NaN] }, options).problem).toMatch(
      /epoch 3: the loss or its gradient is NaN at learning rate 0.0001/,
    );
  });

  it.each([
    [{ stepKl: 1e-4 }, /one epoch moved a step's distribution by a KL of 0.000100 .*divergence.maxStepKl/],
    [{ velocityChange: 0.014 }, /one epoch moved the velocity .*divergence.maxVelocityChange/],
    [{ velocityKl: 0.6 }, /moved from the start by a mean square of 0.600 .*divergence.maxVelocityKl/],
  ])('names a policy that moved too far twice within five epochs: %j', (moves, words) => {
    const at = (epoch: number, input: object, state = initialDivergenceState) =>
      checkDivergence(state, { ...calm, epoch, ...input }, options);
    const once = at(3, { moves });
    expect(once.problem).toBeUndefined();
    const again = at(7, { moves }, at(5, {}, once.state).state);
    expect(again.problem).toMatch(words);
    expect(again.problem).toMatch(/, as in epoch 3 at learning rate/);
    expect(again.goodEpochs).toBe(3);
    expect(at(8, { moves }, once.state).problem).toBeUndefined();
    // As a sum over few dimensions it would be little.
    expect(at(4, { moves, latentSize: 2 }, once.state).problem).toBeUndefined();
  });

  it.each([
    [{ stepKl: 5e-4 }, /moved a step's distribution by a KL of 0.000500/],
    [{ velocityChange: 0.11 }, /moved the velocity by a mean square of 0.110/],
    [{ velocityKl: 5.1 }, /moved from the start by a mean square of 5.10/],
    [{ velocityKl: Number.NaN }, /moved from the start by a mean square of NaN/],
  ])('names a policy that moved more than ten times too far at once: %j', (moves, words) => {
    expect(checkDivergence(initialDivergenceState, { ...calm, moves }, options).problem).toMatch(words);
  });

  it('names a gradient norm far above its median', () => {
    let state = initialDivergenceState;
    for (let i = 0; i < 12; i++) state = checkDivergence(state, calm, options).state;
    expect(checkDivergence(state, { ...calm, gradNorm: [150] }, options).problem).toMatch(
      /gradient norm is 150/,
    );
    expect(checkDivergence(state, { ...calm, gradNorm: [90] }, options).problem).toBeUndefined();
  });

  it('names a collapse of the reward, and when it was best', () => {
    let state = initialDivergenceState;
    for (let epoch = 0; epoch < 10; epoch++)
      state = checkDivergence(state, { ...calm, epoch }, options).state;
    let problem: string | undefined;
    for (let epoch = 10; epoch < 20 && !problem; epoch++) {
      const seen = checkDivergence(state, { ...calm, epoch, reward: 0.1 }, options);
      state = seen.state;
      problem = seen.problem;
    }
    expect(problem).toMatch(/reward collapsed from 0.5000 \(epoch 4\)/);
  });

  it('tells how far back a collapse began', () => {
    let state = initialDivergenceState;
    for (let epoch = 0; epoch < 10; epoch++)
      state = checkDivergence(state, { ...calm, epoch }, options).state;
    let goodEpochs: number | undefined;
    for (let epoch = 10; goodEpochs === undefined; epoch++) {
      const seen = checkDivergence(state, { ...calm, epoch, reward: 0.1 }, options);
      state = seen.state;
      goodEpochs = seen.goodEpochs;
    }
    expect(goodEpochs).toBe(0);
  });
});

/**
 * A flow in 8 dimensions whose reward is the share of samples near a point that the flow starts close to: small
 * steps improve it, steps of lr 5e-3 in units of the weight (scaled 1:100) throw the samples out of reach.
 */
function fragile() {
  const policy = gaussianFlow({ prompts: ['a'], mean: [0, 0], std: 0.02 });
  const scaled = {
    ...policy,
    prepare: ({ trained, ...call }: PrepareCall<{ index: tf.Tensor1D }>) =>
      policy.prepare!({ ...call, trained: { 'mean.weight': tf.mul(100, trained['mean.weight']!) } }),
  };
  const scorer = {
    name: 'near the point',
    async score(images: tf.Tensor4D) {
      const pixels = await images.data();
      const scores = Array.from({ length: images.shape[0] }, (_, i) =>
        Math.exp(-((pixels[3 * i]! - 0.05) ** 2 + pixels[3 * i + 1]! ** 2) / 0.02),
      );
      return { scores, details: {} };
    },
  };
  return { policy: scaled, scorer, prompts: [{ prompt: 'a' }] };
}

describe('a run', () => {
  const config = (learningRate: number) => ({
    epochs: 30,
    sampling: { numSteps: 6, shift: 1, promptsPerEpoch: 1, samplesPerPrompt: 16 },
    training: { learningRate },
    grpo: { clipRange: 0.2 },
    ema: { enabled: false },
  });

  it('finishes at a learning rate it can take', async () => {
    const result = await train({ ...fragile(), config: config(1e-5) });
    expect(result.problem).toBeUndefined();
    expect(result.reason).toBe('finished');
  });

  it('stops at learning rate 5e-3 and says why', async () => {
    const result = await train({ ...fragile(), config: config(5e-3) });
    expect(result.reason).toBe('diverged');
    expect(result.problem).toMatch(/learning rate 0.0050; lower training.learningRate/);
    expect(result.epochs).toBeLessThan(15);
  });

  it('rolls back with half the learning rate until it can take it, and forgets nothing when killed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'rollback-'));
    try {
      const divergence = { action: 'rollback', maxRollbacks: 10 } as const;
      const given = { ...config(5e-3), divergence, saveEvery: 5, keepCheckpoints: 3 };
      const messages: string[] = [];
      const rates: number[] = [];
      const options = {
        ...fragile(),
        config: given,
        store: checkpointFolder(join(folder, 'checkpoints')),
        onMessage: (message: string) => void messages.push(message),
        onEpoch: ({ learningRate }: EpochMetrics) => void rates.push(learningRate!),
      };
      const { reason, epochs, problem } = await train(options);
      expect(problem).toBeUndefined();
      expect([reason, epochs]).toEqual(['finished', 30]);
      const back = messages.filter((message) => message.includes('Rolling back to epoch-0000'));
      expect(back.length).toBeGreaterThan(0);
      expect(back[0]).toMatch(
        /Diverged in epoch \d+: .* learning rate 0.0050; .* with half the learning rate/,
      );
      expect(rates.at(-1)).toBeCloseTo(5e-3 * 0.5 ** back.length, 12);
      expect(await listCheckpoints(join(folder, 'checkpoints'))).toHaveLength(3);
      // The halved rate is in the checkpoint: a run that goes on keeps it.
      await train({ ...options, config: { ...given, epochs: 31 }, resume: 'auto' });
      expect(rates.at(-1)).toBeCloseTo(5e-3 * 0.5 ** back.length, 12);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('stops when it has rolled back as often as it may', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'rollback-'));
    try {
      const divergence = { action: 'rollback', maxRollbacks: 1 } as const;
      const store = checkpointFolder(folder);
      const result = await train({ ...fragile(), config: { ...config(0.5), divergence }, store });
      expect(result.reason).toBe('diverged');
      expect(result.problem).toMatch(/learning rate 0.25; .* The last good checkpoint is .*epoch-000000/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('a flow whose optimum is known', () => {
  const targets: Record<string, readonly [number, number]> = { east: [1, 0], north: [0, 1] };
  const prompts = Object.keys(targets).map((prompt) => ({ prompt }));
  const nearness = async (images: tf.Tensor4D, asked: string[]) => {
    const pixels = await images.data();
    return asked.map((prompt, i) => {
      const [x, y] = targets[prompt]!;
      return Math.exp(-((pixels[3 * i]! - x) ** 2 + (pixels[3 * i + 1]! - y) ** 2) / 0.72);
    });
  };
  /** What of the defaults a run at this rate meets. */
  async function runAt(learningRate: number, algorithm: AlgorithmName) {
    const rewards: number[] = [];
    const { reason, problem, epochs } = await train({
      policy: gaussianFlow({ prompts: Object.keys(targets), mean: [0.2, 0.2], std: 0.2 }),
      prompts,
      scorer: nearness,
      config: {
        algorithm,
        epochs: 12,
        sampling: { numSteps: 6, shift: 1, promptsPerEpoch: 2, samplesPerPrompt: 16 },
        training: { learningRate, beta2: 0.99, weightDecay: 0 },
        grpo: { clipRange: 0.2, globalStd: false },
        guard: { clipRange: 0.2, globalStd: false },
        dgpo: { truncSteps: 4 },
        ema: { enabled: false },
      },
      onEpoch: ({ reward }) => void rewards.push(reward),
    });
    return { reason, problem, epochs, rewards };
  }

  it.each([
    ['grpo', 0.04],
    ['guard', 0.04],
    ['flow-dppo', 0.04],
    ['nft', 0.2],
    ['awm', 0.04],
    ['dgpo', 0.04],
    ['crd', 0.04],
  ] as const)(
    '%s runs at its working rate, %d, and is stopped at ten times that, before its reward falls',
    async (algorithm, rate) => {
      expect(await runAt(rate, algorithm)).toMatchObject({ reason: 'finished', epochs: 12 });
      const { reason, problem, rewards } = await runAt(10 * rate, algorithm);
      expect(reason).toBe('diverged');
      expect(problem).toMatch(/maxStepKl|maxVelocityChange/);
      expect(rewards.length).toBeLessThanOrEqual(3);
      expect(rewards.at(-1)).toBeGreaterThanOrEqual(rewards[0]!);
    },
  );
});
