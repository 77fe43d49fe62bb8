import type { GrpoConfigInput } from '@flow-grpo/grpo-trainer';
import { resolveConfig, train } from '@flow-grpo/grpo-trainer';
import { type Showo2PolicyOptions, showo2Policy } from '@flow-grpo/showo2-model/policy';
import { configure, observeExecutions } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { brightness, tinyShowo2 } from '../../../showo2-model/src/testing/tiny-policy';
import { estimateMemory } from './memory-estimate';

let available = true;
beforeAll(async () => {
  configure({ devices: 2 });
  available = await tf.setBackend('xla').catch(() => false);
});
afterAll(() => tf.setBackend('cpu'));

const wholeModel = ['showo.model.layers.*', 'diffusion_head_*'];
/** What the watches hold is little, as the first case shows. */
const unwatched = { divergence: { action: 'off' }, hacking: { action: 'off' } } as const;
const cases: [string, Partial<Showo2PolicyOptions>, GrpoConfigInput][] = [
  ['the head alone trains, features are kept', {}, {}],
  ['with guidance features are kept of both branches', { guidanceScale: 2 }, unwatched],
  ['with guidance in rollouts alone, of one', { guidanceScale: 2, guidanceInTraining: false }, unwatched],
  ['a reference', {}, { ...unwatched, grpo: { beta: 0.01 } }],
  ['GRPO-Guard', {}, { ...unwatched, algorithm: 'guard' }],
  ['a window keeps its steps', {}, { ...unwatched, sampling: { window: { kind: 'random', size: 2 } } }],
  ['everything trains, no features', { train: wholeModel }, unwatched],
];

describe('the estimate of memory', () => {
  it.each(cases)('is what a run holds: %s', async (_, more, given) => {
    if (!available) throw new Error('no PJRT plugin is installed; run the set-up command');
    const before = tf.memory().numBytes;
    const policy = showo2Policy({ ...tinyShowo2(), ...more });
    const config: GrpoConfigInput = {
      epochs: 2,
      ...given,
      sampling: { numSteps: 6, promptsPerEpoch: 2, samplesPerPrompt: 64, ...given.sampling },
      training: { updatesPerEpoch: 2, ...given.training },
    };
    const { weights, training, samples } = estimateMemory(policy, 'red', resolveConfig(config));
    let most = 0;
    // When a program starts its arguments are all there: gradients too when the optimizer does.
    const stop = observeExecutions(() => {
      most = Math.max(most, tf.memory().numBytes - before);
    });
    const result = await train({
      policy,
      prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
      scorer: brightness,
      config,
    });
    stop();
    tf.dispose([result.trained, result.ema, policy.params]);
    const estimate = weights + training + samples!;
    expect(most / estimate).toBeGreaterThan(0.98);
    expect(most / estimate).toBeLessThan(1.05); // texts of the prompts, and small tensors
  });

  it('divides what is split over devices', () => {
    const policy = showo2Policy({ ...tinyShowo2(), train: wholeModel });
    const sampling = { promptsPerEpoch: 2, samplesPerPrompt: 4 };
    const of = (config: GrpoConfigInput) =>
      estimateMemory(policy, 'red', resolveConfig({ sampling, ...config }));
    const [one, two, split] = [{}, { devices: 2 }, { devices: 2, shardParameters: true }].map(of);
    expect(two!.training).toBe(one!.training);
    expect(two!.samples).toBe(one!.samples! / 2);
    expect(split!.training).toBe(one!.training / 2);
    expect(split!.weights).toBe(one!.weights);
    const frozen = of({ devices: 2, shardFrozen: true });
    expect(frozen!.weights).toBe(one!.weights / 2);
    expect(frozen!.training).toBe(one!.training);
    const within = of({ devices: 8, shardFrozen: true, shardParameters: true, shardDevices: 2 });
    expect([within!.weights, within!.training]).toEqual([one!.weights / 2, one!.training / 2]);
    tf.dispose(policy.params);
  });
});
