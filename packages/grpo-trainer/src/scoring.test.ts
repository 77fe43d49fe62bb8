/** What a run does when its scorer fails, gives up on images, or is interrupted. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withFailureRule } from '@flow-grpo/rewards';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EpochDetails, EpochMetrics } from './epoch-metrics';
import type { Evaluation } from './evaluate';
import { perPromptAdvantages } from './maths/advantages';
import { checkpointFolder } from './node/checkpoint-folder';
import { listCheckpoints } from './node/checkpoint-names';
import { gaussianFlow } from './policies/gaussian-flow';
import type { Scorer } from './scorer';
import { train } from './train';
import type { TrainOptions } from './train-options';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scoring-'));
});
afterEach(() => rm(folder, { recursive: true }));

const PROMPTS = ['a', 'b'];
const firstCoordinates = async (images: tf.Tensor4D) => {
  const pixels = await images.data();
  return Array.from({ length: images.shape[0] }, (_, i) => pixels[3 * i]!);
};

async function run(score: Scorer['score'], more: Partial<TrainOptions<unknown, unknown>> = {}) {
  const metrics: EpochMetrics[] = [];
  const details: EpochDetails[] = [];
  const evaluations: Evaluation[] = [];
  const result = await train({
    policy: gaussianFlow({ prompts: PROMPTS, mean: [0.2, 0.2], std: 0.2 }) as never,
    prompts: PROMPTS.map((prompt) => ({ prompt })),
    scorer: { name: 'flaky', score },
    store: checkpointFolder(join(folder, 'checkpoints')),
    onEpoch: (one, two) => {
      metrics.push(one);
      details.push(two);
    },
    onEvaluation: (evaluation) => void evaluations.push(evaluation),
    ...more,
    config: {
      epochs: 3,
      sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4, batchSize: 4 },
      training: { learningRate: 0.01 },
      ...more.config,
    },
  });
  tf.dispose([result.trained, result.ema]);
  return { result, metrics, details, evaluations };
}

/** Scores that are NaN, and said to be dropped, for images that `isDropped`. */
const dropping =
  (isDropped: (prompt: string, i: number) => boolean): Scorer['score'] =>
  async (images, prompts) => {
    const scores = await firstCoordinates(images);
    const dropped = prompts.map((prompt, i) => Number(isDropped(prompt, i)));
    const kept = scores.map((score, i) => (dropped[i] ? Number.NaN : score));
    // A batch that failed as a whole has no other details.
    const all = dropped.every(Boolean);
    return { scores: kept, details: { dropped, ...(all ? {} : { part: kept }) } };
  };

describe('images without a reward', () => {
  it('are left out of advantages and means, and counted', async () => {
    const { metrics, details } = await run(dropping((prompt, i) => prompt === 'b' && i < 3));
    for (const [e, one] of metrics.entries()) {
      const { rewards, advantages } = details[e]!;
      const kept = rewards.filter(Number.isFinite);
      expect(one.dropped).toBe(3);
      expect(kept).toHaveLength(5);
      expect(one.reward).toBeCloseTo(kept.reduce((a, b) => a + b) / 5, 12);
      expect(one['reward.part']).toBeCloseTo(one.reward, 12);
      expect(one['reward.dropped']).toBeCloseTo(3 / 8, 12);
      expect(Array.from(advantages.filter((a) => a !== 0))).toHaveLength(4); // one of b is left: nothing to compare
      expect(one.loss).not.toBeNaN();
    }
  });

  it('may be a whole prompt; the others train as if it was not there', async () => {
    const { metrics, details } = await run(dropping((prompt) => prompt === 'b'));
    expect(metrics.map(({ dropped }) => dropped)).toEqual([4, 4, 4]);
    const [first] = details;
    const a = first!.rewards.flatMap((reward) => (Number.isNaN(reward) ? [] : [reward]));
    const alone = perPromptAdvantages(['a', 'a', 'a', 'a'], a, { globalStd: true }).advantages;
    expect(Array.from(first!.advantages.filter((value) => value !== 0))).toEqual(Array.from(alone));
    expect(metrics[0]!.zeroVarianceShare).toBe(0);
  });

  it('are those that the failure rule of @flow-grpo/rewards gives up', async () => {
    const failures: string[] = [];
    const { score } = withFailureRule(
      {
        name: 'flaky',
        score: async (images, prompts) => {
          if (prompts.includes('b')) throw new Error('no answer for b');
          return { scores: await firstCoordinates(images as tf.Tensor4D), details: {} };
        },
      },
      { retries: 0, action: 'drop', onFailure: ({ message }) => void failures.push(message) },
    );
    const { metrics } = await run(score as Scorer['score'], {
      config: { epochs: 1, sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4, batchSize: 8 } },
    });
    expect(metrics[0]!.dropped).toBe(4);
    expect(metrics[0]!.reward).not.toBeNaN();
    expect(failures).toContain('no answer for b');
  });

  it('count nowhere in an evaluation', async () => {
    const { evaluations } = await run(
      dropping((prompt) => prompt === 'b'),
      { evalPrompts: PROMPTS.map((prompt) => ({ prompt })), config: { evalBatchSize: 1 } },
    );
    const { scores, reward, details } = evaluations[0]!;
    expect(scores).toEqual([reward, Number.NaN]);
    expect(details).toEqual({ dropped: [0, 1], part: [reward, Number.NaN] });
  });

  it('end the run, with a checkpoint, when nothing else is left', async () => {
    let calls = 0;
    await expect(run(dropping(() => calls++ >= 16))).rejects.toThrow(
      /Scorer flaky dropped all 8 images of epoch 2/,
    );
    expect(await listCheckpoints(join(folder, 'checkpoints'))).toEqual(['epoch-000002']);
  });

  it.each(['dpo', 'sft', 'rwr'] as const)('leave %s going', async (algorithm) => {
    const { metrics } = await run(
      dropping((prompt, i) => prompt === 'b' && i < 3),
      { config: { algorithm, dpo: { beta: 4 }, training: { learningRate: 0.01 } } },
    );
    expect(metrics).toHaveLength(3);
    for (const { loss, updates } of metrics) {
      expect(loss).not.toBeNaN();
      expect(updates).toBeGreaterThan(0);
    }
  });
});

describe('a scorer that fails', () => {
  it('ends the run with its error, after a checkpoint of what was reached', async () => {
    let calls = 0;
    const score: Scorer['score'] = async (images) => {
      if (++calls > 4) throw new Error('the server is gone');
      return { scores: await firstCoordinates(images), details: {} };
    };
    await expect(run(score)).rejects.toThrow('the server is gone');
    expect(await listCheckpoints(join(folder, 'checkpoints'))).toEqual(['epoch-000002']);
  });

  it('is told which prompt has no finite reward, unless it says that it dropped it', async () => {
    const score: Scorer['score'] = async (_, prompts) => ({
      scores: prompts.map((prompt) => (prompt === 'b' ? Number.NaN : 1)),
      details: {},
    });
    await expect(run(score)).rejects.toThrow(/Scorer flaky gave NaN for "b"/);
  });

  it('may be interrupted: the run saves and ends', async () => {
    const stop = new AbortController();
    let calls = 0;
    const score: Scorer['score'] = async (images, _prompts, _metadata, options) => {
      if (++calls === 4) stop.abort(new Error('interrupted'));
      options?.signal?.throwIfAborted();
      return { scores: await firstCoordinates(images), details: {} };
    };
    const { result } = await run(score, { signal: stop.signal });
    expect([result.reason, result.epochs]).toEqual(['interrupted', 1]);
    expect(await listCheckpoints(join(folder, 'checkpoints'))).toEqual(['epoch-000001']);
  });

  it('may be interrupted in an evaluation', async () => {
    const stop = new AbortController();
    const score: Scorer['score'] = async (images, _prompts, _metadata, options) => {
      stop.abort(new Error('interrupted'));
      options?.signal?.throwIfAborted();
      return { scores: await firstCoordinates(images), details: {} };
    };
    const { result, evaluations } = await run(score, {
      signal: stop.signal,
      evalPrompts: [{ prompt: 'a' }],
    });
    expect([result.reason, result.epochs, evaluations.length]).toEqual(['interrupted', 0, 0]);
  });
});
