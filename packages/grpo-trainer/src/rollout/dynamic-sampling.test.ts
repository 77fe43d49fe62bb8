/** Dynamic sampling and curricula in whole runs. */
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { memoryStore } from '../checkpoint/memory-store';
import type { GrpoConfigInput } from '../config/schema';
import type { EpochMetrics } from '../epoch-metrics';
import { gaussianFlow } from '../policies/gaussian-flow';
import type { PromptStatistics } from '../prompts/prompt-statistics';
import { train } from '../train';
import { groupsToKeep } from './keep-groups';

const NAMES = Array.from({ length: 12 }, (_, i) => (i % 3 === 0 ? `hard ${i}` : `easy ${i}`));
const SIZE = 6;

interface Options {
  readonly config?: GrpoConfigInput;
  readonly store?: ReturnType<typeof memoryStore>;
  readonly stopAfter?: number;
  /** Rewards that say nothing. */
  readonly isEasy?: (prompt: string) => boolean;
  /** Called before prompts are encoded. */
  readonly onEncode?: () => void;
}

async function run({
  config,
  store,
  stopAfter,
  isEasy = (prompt) => prompt.startsWith('easy'),
  onEncode = () => {},
}: Options = {}) {
  const epochs: EpochMetrics[] = [];
  const rewards: number[][] = [];
  const messages: string[] = [];
  let prompts: readonly PromptStatistics[] = [];
  const stop = new AbortController();
  const policy = gaussianFlow({ prompts: NAMES, mean: [0.2, 0.2], std: 0.2, withFeatures: true });
  const before = tf.memory().numTensors;
  const { trained, ema } = await train({
    policy: {
      ...policy,
      encodePrompts(asked: readonly string[]) {
        onEncode();
        return policy.encodePrompts(asked);
      },
    },
    prompts: NAMES.map((prompt) => ({ prompt })),
    scorer: async (images: tf.Tensor4D, asked: string[]) => {
      const pixels = await images.data();
      return asked.map((prompt, i) => (isEasy(prompt) ? 1 : pixels[3 * i]!));
    },
    signal: stop.signal,
    ...(store && { store, resume: 'auto' as const }),
    onMessage: (message) => void messages.push(message),
    config: {
      epochs: 6,
      saveEvery: 3,
      evalEvery: 1000,
      sampling: { numSteps: 4, shift: 1, promptsPerEpoch: 3, samplesPerPrompt: SIZE, batchSize: 9 },
      training: { learningRate: 0.01, weightDecay: 0, updatesPerEpoch: 1 },
      ...config,
    },
    onEpoch(metrics, details) {
      epochs.push(metrics);
      rewards.push([...details.rewards]);
      prompts = details.prompts();
      if (metrics.epoch + 1 === stopAfter) stop.abort();
    },
  }).catch((error) => {
    tf.dispose(policy.params);
    throw error;
  });
  const means = [...trained['mean.weight']!.dataSync()];
  tf.dispose([trained, ema]);
  const left = tf.memory().numTensors - before;
  tf.dispose(policy.params);
  return { epochs, rewards, prompts, messages, means, left };
}

const skipping = { prompts: { skipWithoutVariance: true, maxRedraws: 3 } } as const;

describe('prompts whose images all score alike', () => {
  it('stay, and teach nothing, by default', async () => {
    const { epochs } = await run();
    expect(Math.max(...epochs.map(({ zeroVarianceShare }) => zeroVarianceShare!))).toBeGreaterThan(0.3);
    for (const { promptsDrawn } of epochs) expect(promptsDrawn).toBe(3);
  });

  it('are replaced by others, which keep their own images and rewards', async () => {
    const { epochs, rewards, prompts, left } = await run({ config: skipping });
    // 4 of 12 prompts say something: 12 are drawn at most, of which 3 do.
    for (const { zeroVarianceShare, promptsDrawn } of epochs) {
      expect(zeroVarianceShare).toBe(0);
      expect(promptsDrawn! % 3).toBe(0);
      expect(promptsDrawn).toBeLessThanOrEqual(12);
    }
    for (const epoch of rewards) for (const reward of epoch) expect(reward).not.toBe(1);
    expect(prompts.reduce((sum, { times }) => sum + times, 0)).toBe(
      epochs.reduce((sum, { promptsDrawn }) => sum + promptsDrawn!, 0),
    );
    for (const { index, reward, spread } of prompts) {
      if (NAMES[index]!.startsWith('easy')) expect([reward, spread]).toEqual([1, 0]);
      else expect(spread).toBeGreaterThan(0);
    }
    expect(left).toBe(0);
  });

  it('leave no tensor of any rollout where one of them fails, or what they come to', async () => {
    const config = { ...skipping, epochs: 1 };
    const failing = (nth: number) => {
      let calls = 0;
      return run({
        config,
        onEncode() {
          tf.scalar(1); // nobody asked for it
          if (++calls === nth) throw new Error('no memory for this');
        },
      });
    };
    const before = tf.memory().numTensors;
    // A call for each rollout, one for what is kept of them, and at last none that fails.
    let nth = 0;
    for (let ended = false; !ended; nth++) {
      ended = await failing(nth + 1).then(
        () => true,
        () => false,
      );
      expect([nth, tf.memory().numTensors - before]).toEqual([nth, 0]);
    }
    expect(nth).toBeGreaterThan(3);
  });

  it('are drawn so often and no more', async () => {
    const config = { ...skipping, epochs: 1, prompts: { skipWithoutVariance: true, maxRedraws: 2 } };
    const { epochs, left } = await run({ config, isEasy: () => true });
    expect(epochs[0]).toMatchObject({ promptsDrawn: 9, zeroVarianceShare: 1, updates: 0 });
    expect(left).toBe(0);
  });

  it('train the means of the prompts that say something, and of no other', async () => {
    const { means, prompts } = await run({ config: skipping });
    for (const { index } of prompts) {
      const moved = Math.abs(means[2 * index]! - 0.2) > 1e-3;
      expect([NAMES[index], moved]).toEqual([NAMES[index], NAMES[index]!.startsWith('hard')]);
    }
  });
});

describe('a run with a curriculum', () => {
  it.each(['grpo', 'nft'] as const)('of %s resumes to the same bits', async (algorithm) => {
    const config: GrpoConfigInput = {
      algorithm,
      prompts: { skipWithoutVariance: true, maxRedraws: 2, harderMoreOften: 1.5 },
    };
    const whole = await run({ config });
    const store = memoryStore();
    const first = await run({ config, store, stopAfter: 3 });
    expect(first.epochs).toHaveLength(3);
    const second = await run({ config, store });
    expect(second.means).toEqual(whole.means);
    expect(second.prompts).toEqual(whole.prompts);
    expect([...first.rewards, ...second.rewards]).toEqual(whole.rewards);
  });

  it('draws prompts of low reward more often', async () => {
    const often = async (harderMoreOften: number) => {
      const { prompts } = await run({ config: { epochs: 40, prompts: { harderMoreOften } } });
      const times = (kind: string) =>
        prompts
          .filter(({ index }) => NAMES[index]!.startsWith(kind))
          .reduce((sum, { times }) => sum + times, 0);
      return times('hard') / (times('hard') + times('easy'));
    };
    expect(await often(1.5)).toBeGreaterThan((await often(0)) + 0.2);
  });
});

describe('groups', () => {
  it('of too few images are warned of', async () => {
    const sampling = { numSteps: 4, shift: 1, promptsPerEpoch: 3 };
    const { messages } = await run({ config: { epochs: 1, sampling: { ...sampling, samplesPerPrompt: 3 } } });
    expect(messages.join('\n')).toMatch(/sampling.samplesPerPrompt is 3: in groups of fewer than 4 images/);
    expect((await run({ config: { epochs: 1 } })).messages).toEqual([]);
  });

  it('that say something come first, in the order in which they were drawn', () => {
    const [t, f] = [true, false];
    const kept = groupsToKeep(
      [
        [f, t, f],
        [t, f, f],
      ],
      3,
    );
    expect(kept).toEqual([
      { round: 0, group: 1 },
      { round: 1, group: 0 },
      { round: 0, group: 0 },
    ]);
  });
});
