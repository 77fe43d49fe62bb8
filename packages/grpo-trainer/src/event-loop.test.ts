/** Signals, timers and requests are handled while a backend that computes at once is busy. */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { gaussianFlow } from './policies/gaussian-flow';
import type { Params, Policy } from './policy';
import type { Progress } from './progress';
import { train } from './train';

beforeAll(() => tf.setBackend('cpu'));

const PROMPTS = ['a', 'b', 'c', 'd'];
const examples = PROMPTS.map((prompt) => ({ prompt }));

/** A policy whose every velocity keeps the thread busy, longer than any pause is put off. */
function busyFlow(): Policy {
  const policy = gaussianFlow({ prompts: PROMPTS, mean: [0.2, 0.2], std: 0.2 }) as Policy;
  return {
    ...policy,
    velocity(call) {
      for (const start = performance.now(); performance.now() - start < 110; );
      return policy.velocity(call);
    },
  };
}

const valuesOf = (params: Params) => Object.values(params).map((weight) => Array.from(weight.dataSync()));

/** Trains an epoch; a signal comes, as a timer, when the phase has done so many of its parts. */
async function interruptedIn(phase: Progress['phase'], at = 0) {
  const stop = new AbortController();
  const seen: { done: number; isAborted: boolean }[] = [];
  const result = await train({
    policy: busyFlow(),
    prompts: examples,
    evalPrompts: examples,
    scorer: (images) => Array.from(tf.tidy(() => tf.max(images, [1, 2, 3]).dataSync())),
    signal: stop.signal,
    config: {
      epochs: 1,
      evalBatchSize: 1,
      sampling: { numSteps: 2, promptsPerEpoch: 4, samplesPerPrompt: 2, batchSize: 2 },
      training: { updatesPerEpoch: 4 },
      divergence: { action: 'off' },
      hacking: { action: 'off' },
    },
    onProgress: (progress) => {
      if (progress.phase !== phase) return;
      if (progress.done === at) setTimeout(() => stop.abort(new Error('Interrupted')));
      seen.push({ done: progress.done, isAborted: stop.signal.aborted });
    },
  });
  const weights = valuesOf(result.trained);
  tf.dispose([result.trained, result.ema]);
  return { result, seen, weights };
}

describe('a signal', () => {
  it.each(['evaluation', 'rollout'] as const)('ends the %s between two batches', async (phase) => {
    const { result, seen } = await interruptedIn(phase);
    expect(result).toMatchObject({ reason: 'interrupted', epochs: 0 });
    expect(seen.map(({ done }) => done)).toEqual([0]);
  });

  it('drops the epoch before its first optimizer step, with weights as they were', async () => {
    const start = valuesOf(busyFlow().params);
    const { weights, result, seen } = await interruptedIn('update');
    expect(result).toMatchObject({ reason: 'interrupted', epochs: 0, updates: 0 });
    expect(seen).toEqual([{ done: 0, isAborted: false }]);
    expect(weights).toEqual(start);
  });

  it('is heard between two updates, and lets an epoch end that has changed the weights', async () => {
    const { result, seen } = await interruptedIn('update', 1);
    expect(result).toMatchObject({ reason: 'finished', epochs: 1 });
    expect(seen).toEqual([0, 1, 2, 3].map((done) => ({ done, isAborted: done > 1 })));
  });
});
