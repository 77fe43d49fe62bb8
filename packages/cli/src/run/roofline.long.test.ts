import '@flow-grpo/tfjs-backend-xla';
import type { GrpoConfigInput, Policy } from '@flow-grpo/grpo-trainer';
import { type EpochMetrics, resolveConfig, train } from '@flow-grpo/grpo-trainer';
import { type Showo2PolicyOptions, showo2Policy } from '@flow-grpo/showo2-model/policy';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { brightness, tinyShowo2 } from '../../../showo2-model/src/testing/tiny-policy';
import { epochFlops, minimumEpochTime } from './roofline';

let available = true;
beforeAll(async () => {
  available = await tf.setBackend('xla').catch(() => false);
});
afterAll(() => tf.setBackend('cpu'));

const guided = { guidanceScale: 2 };
const rollouts = { guidanceScale: 2, guidanceInTraining: false };
/** What the watches compute is little, as the first case shows. */
const unwatched = { divergence: { action: 'off' }, hacking: { action: 'off' } } as const;
const cases: [string, Partial<Showo2PolicyOptions>, GrpoConfigInput][] = [
  ['the head alone trains, from features', {}, {}],
  ['with guidance', guided, unwatched],
  ['with guidance and a reference', guided, { ...unwatched, grpo: { beta: 0.01 } }],
  ['with guidance in rollouts alone', rollouts, unwatched],
  ['with guidance in rollouts alone and a reference', rollouts, { ...unwatched, grpo: { beta: 0.01 } }],
  [
    'a part of the steps, twice',
    {},
    { ...unwatched, training: { innerEpochs: 2 }, grpo: { timestepFraction: 0.5 } },
  ],
  ['everything trains', { train: ['showo.model.layers.*', 'diffusion_head_*'] }, unwatched],
  ['reward-weighted regression', {}, { ...unwatched, algorithm: 'rwr' }],
];

describe('the least time of an epoch', () => {
  it.each(cases)('counts what an epoch computes: %s', async (_, more, given) => {
    if (!available) throw new Error('no PJRT plugin is installed; run the set-up command');
    const policy = showo2Policy({ ...tinyShowo2({ layers: 2 }), ...more }) as Policy;
    const config: GrpoConfigInput = {
      epochs: 1,
      ...given,
      sampling: { numSteps: 6, promptsPerEpoch: 2, samplesPerPrompt: 128 },
      training: { updatesPerEpoch: 1, ...given.training },
    };
    const before = tf.memory().numTensors;
    const flops = epochFlops(policy, 'red', resolveConfig(config))!;
    expect(tf.memory().numTensors).toBe(before);
    const seen: EpochMetrics[] = [];
    const result = await train({
      policy,
      prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
      scorer: brightness,
      config,
      onEpoch: (metrics) => void seen.push(metrics),
    });
    const [metrics] = seen;
    // Prompts, noise and the optimizer come on top.
    const counted = metrics!.tflops! * 1e12 * metrics!.seconds!;
    expect(counted / flops).toBeGreaterThan(1);
    expect(counted / flops).toBeLessThan(1.15);
    const least = minimumEpochTime(policy, 'red', resolveConfig(config))!;
    expect(least).toBeGreaterThan(0);
    expect(least).toBeLessThan(metrics!.seconds!);
    expect(minimumEpochTime(policy, 'red', resolveConfig(config), 1)).toBeCloseTo(flops / 1e12, 12);
    tf.dispose([result.trained, result.ema, policy.params]);
  });

  it('has no unconditional branch in updates without guidance', () => {
    const update = (more: Partial<Showo2PolicyOptions>, beta: number) => {
      const policy = showo2Policy({ ...tinyShowo2({ layers: 2 }), ...more }) as Policy;
      const [once, twice] = [1, 2].map((innerEpochs) =>
        epochFlops(policy, 'red', resolveConfig({ training: { innerEpochs }, grpo: { beta } })),
      );
      tf.dispose(policy.params);
      return twice! - once!;
    };
    const [guidedAlone, guidedWithReference] = [0, 0.01].map((beta) => {
      const [own, plain, whole] = [rollouts, {}, guided].map((more) => update(more, beta));
      expect(own).toBe(plain);
      expect(own).toBeLessThan(0.8 * whole!);
      return whole!;
    });
    expect(guidedWithReference).toBeGreaterThan(1.3 * guidedAlone!);
  });

  it('is not told where nothing is compiled', async () => {
    await tf.setBackend('cpu');
    const policy = showo2Policy(tinyShowo2()) as Policy;
    expect(minimumEpochTime(policy, 'red', resolveConfig({}))).toBeUndefined();
    tf.dispose(policy.params);
    await tf.setBackend('xla');
  });
});
