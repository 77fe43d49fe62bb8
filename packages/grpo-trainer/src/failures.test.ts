/** What a run leaves behind, and says, when something goes wrong in it. */
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { algorithms } from './algorithms/registry';
import { memoryStore } from './checkpoint/memory-store';
import type { EpochMetrics } from './epoch-metrics';
import { gaussianFlow } from './policies/gaussian-flow';
import type { Policy } from './policy';
import { train } from './train';
import type { TrainOptions } from './train-options';

const PROMPTS = ['a', 'b'];
const flow = () => gaussianFlow({ prompts: PROMPTS, mean: [0.2, 0.2], std: 0.2 }) as Policy;

async function firstCoordinate(images: tf.Tensor4D): Promise<number[]> {
  const pixels = await images.data();
  return Array.from({ length: images.shape[0] }, (_, i) => pixels[3 * i]!);
}

/** A run, how many tensors it left, and the epochs that its store has afterwards. */
async function run(more: Partial<TrainOptions<unknown, unknown>> = {}) {
  const store = memoryStore();
  const epochs: EpochMetrics[] = [];
  const policy = more.policy ?? flow();
  const before = tf.memory().numTensors;
  const outcome = await train({
    prompts: PROMPTS.map((prompt) => ({ prompt })),
    scorer: firstCoordinate,
    store,
    onEpoch: (metrics) => void epochs.push(metrics),
    ...more,
    policy,
    config: {
      epochs: 4,
      sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4, batchSize: 4 },
      training: { learningRate: 0.01, ...more.config?.training },
      divergence: { action: 'off' },
      dgpo: { truncSteps: 2, timesPerImage: 1 },
      hacking: { action: 'off', ...more.config?.hacking },
      ...(more.config?.algorithm && { algorithm: more.config.algorithm as 'grpo' }),
    },
  }).then(
    (result) => {
      tf.dispose([result.trained, result.ema]);
      return result;
    },
    (error: Error) => error,
  );
  const saved = (await store.list()).map(({ epoch }) => epoch);
  return { outcome, epochs, saved, left: tf.memory().numTensors - before };
}

/** Throws in the nth training call. */
function failingInTraining(nth: number): Policy {
  const policy = flow();
  let calls = 0;
  return {
    ...policy,
    velocity: (call) => {
      if (call.purpose === 'training' && ++calls === nth) throw new Error('no memory for this');
      return policy.velocity(call);
    },
  };
}

describe('the probe of a velocity that throws', () => {
  it('ends the run with its error, and leaves no tensor', async () => {
    for (const nth of [1, 6, 7]) {
      const { outcome, saved, left } = await run({
        policy: failingInTraining(nth),
        config: { hacking: { action: 'warn' } },
      });
      expect(outcome).toMatchObject({ message: 'no memory for this' });
      // No epoch was done: there is nothing to save.
      expect([nth, saved, left]).toEqual([nth, [], 0]);
    }
  });
});

describe('an update that throws', () => {
  it('ends the run with its error, after a checkpoint of the epochs before', async () => {
    const { outcome, saved, left } = await run({ policy: failingInTraining(10) }); // epoch 2, first update
    expect(outcome).toMatchObject({ message: 'no memory for this' });
    expect(saved).toEqual([2]);
    expect(left).toBe(0);
  });

  it('saves nothing once it has changed the weights, and leaves no tensor either', async () => {
    const { outcome, saved, left } = await run({ policy: failingInTraining(11) }); // epoch 2, second update
    expect(outcome).toMatchObject({ message: 'no memory for this' });
    expect(saved).toEqual([]);
    expect(left).toBe(0);
  });

  it('leaves no tensor where it prepares for several passes', async () => {
    const training = { batchSize: 2 };
    for (const nth of [1, 3]) {
      const { outcome, left } = await run({ policy: failingInTraining(nth), config: { training } });
      expect(outcome).toBeInstanceOf(Error);
      expect(left).toBe(0);
    }
  });

  it.each(['grpo', 'guard'] as const)(
    'leaves no tensor of %s, whichever of its calls it was',
    async (algorithm) => {
      const training = { stepsPerPass: 1, batchSize: 4, updatesPerEpoch: 2, innerEpochs: 2 };
      let failed = 0;
      for (let nth = 1; ; nth++) {
        const { outcome, epochs, left } = await run({
          policy: failingInTraining(nth),
          config: { algorithm, training },
        });
        if (epochs.length > 0) break;
        expect(outcome).toMatchObject({ message: 'no memory for this' });
        expect([nth, left]).toEqual([nth, 0]);
        failed++;
      }
      // Measurements before and between updates, and the gradients of each.
      expect(failed).toBeGreaterThan(10);
    },
  );
});

it('a run that is to resume, and has no store to resume from, is refused', async () => {
  const store = undefined as never; // none
  for (const resume of ['auto', 'epoch-000003'])
    expect((await run({ resume, store })).outcome).toMatchObject({
      message: expect.stringMatching(/resume needs a store/),
    });
  expect((await run({ resume: false, store })).outcome).toMatchObject({ reason: 'finished' });
});

it('a policy that makes more than the condition it returns leaks nothing', async () => {
  const policy = flow();
  const encodePrompts: typeof policy.encodePrompts = (prompts) => {
    tf.add(tf.ones([3]), 1); // nobody asked for it
    return policy.encodePrompts(prompts);
  };
  const evalPrompts = PROMPTS.map((prompt) => ({ prompt }));
  const { outcome, left } = await run({
    policy: { ...policy, encodePrompts },
    evalPrompts,
    store: undefined as never,
  });
  expect(outcome).toMatchObject({ reason: 'finished' });
  expect(left).toBe(0);
});

it('a decoder that fails in an evaluation leaves no tensor', async () => {
  const policy = flow();
  const decode = (): never => {
    throw new Error('no memory for this');
  };
  const evalPrompts = PROMPTS.map((prompt) => ({ prompt }));
  const { outcome, left } = await run({ policy: { ...policy, decode }, evalPrompts });
  expect(outcome).toMatchObject({ message: 'no memory for this' });
  expect(left).toBe(0);
});

describe('an epoch', () => {
  it('whose images were all dropped leaves no tensor', async () => {
    const scorer = {
      name: 'strict',
      score: async (_: tf.Tensor4D, prompts: string[]) => ({
        scores: prompts.map(() => Number.NaN),
        details: { dropped: prompts.map(() => 1) },
      }),
    };
    const { outcome, left } = await run({ scorer });
    expect(outcome).toMatchObject({ message: 'Scorer strict dropped all 8 images of epoch 0' });
    expect(left).toBe(0);
  });

  it('without an advantage says nothing of what was not measured', async () => {
    const { outcome, epochs } = await run({
      scorer: (images) => (images.shape[0] === 4 ? [1, 1, 1, 1] : []),
    });
    expect(outcome).toMatchObject({ reason: 'finished', updates: 0, epochs: 4 });
    for (const metrics of epochs) {
      expect(metrics).toMatchObject({ reward: 1, updates: 0, zeroVarianceShare: 1 });
      for (const name of ['loss', 'learningRate', 'gradNorm', 'policyLoss', 'approxKl']) {
        expect(metrics).not.toHaveProperty(name);
      }
    }
  });

  it('has phases that add up to it', async () => {
    for (const overlapRewards of [true, false]) {
      const { epochs } = await run({ overlapRewards });
      for (const { secondsRollout, secondsReward, secondsUpdate, seconds } of epochs) {
        for (const part of [secondsRollout, secondsReward, secondsUpdate]) {
          expect(part).toBeGreaterThanOrEqual(0);
        }
        expect(secondsRollout! + secondsReward! + secondsUpdate!).toBeCloseTo(seconds!, 9);
      }
    }
  });
});

describe('after a signal', () => {
  const interrupted = (thrown: (signal: AbortSignal) => unknown) => {
    const stop = new AbortController();
    let calls = 0;
    const scorer = async (images: tf.Tensor4D) => {
      if (++calls === 4) {
        stop.abort(new Error('Interrupted by SIGTERM'));
        throw thrown(stop.signal);
      }
      return firstCoordinate(images);
    };
    return run({ scorer, signal: stop.signal });
  };

  it.each<[string, (signal: AbortSignal) => unknown]>([
    ["the signal's reason", (signal) => signal.reason],
    ['an AbortError', () => new DOMException('aborted', 'AbortError')],
    ['an error that it caused', ({ reason }) => new Error('request failed', { cause: reason })],
  ])('%s is an interruption', async (_, thrown) => {
    const { outcome, saved, left } = await interrupted(thrown);
    expect(outcome).toMatchObject({ reason: 'interrupted', epochs: 1 });
    expect([saved, left]).toEqual([[1], 0]);
  });

  it('any other error is one, after a checkpoint', async () => {
    const { outcome, saved, left } = await interrupted(() => new Error('out of memory'));
    expect(outcome).toMatchObject({ message: 'out of memory' });
    expect([saved, left]).toEqual([[1], 0]);
  });
});

describe('a gradient of exactly 0', () => {
  const ignoring = (): Policy => {
    const policy = flow();
    return {
      ...policy,
      prepare: ({ trained, ...call }) => {
        const means = policy.prepare!({ trained: policy.params, ...call }) as { means: tf.Tensor };
        return { means: tf.add(means.means, tf.mul(0, tf.sum(trained['mean.weight']!))) };
      },
    };
  };

  it.each(Object.keys(algorithms) as (keyof typeof algorithms)[])('is an error of %s', async (algorithm) => {
    const { outcome, left } = await run({ policy: ignoring(), config: { algorithm } });
    expect((outcome as Error).message).toMatch(
      /gradient of all 1 weights that train is exactly 0 in epoch 0, though \d+ images have an advantage .* backend cpu/,
    );
    expect(left).toBe(0);
  });
});
