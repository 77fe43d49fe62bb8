/** Ratios compare what one program computes before and after: a policy that does not change has ratio 1, bit for bit. */

import { type Showo2PolicyOptions, showo2Policy } from '@flow-grpo/showo2-model/policy';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { brightness, tinyShowo2 } from '../../../showo2-model/src/testing/tiny-policy';
import type { GrpoConfigInput } from '../config/schema';
import type { EpochMetrics } from '../epoch-metrics';
import type { Policy } from '../policy';
import { train } from '../train';

beforeAll(() => configure({ devices: 2 }));
afterAll(() => tf.setBackend('cpu'));

async function run(more: Partial<Showo2PolicyOptions>, given: GrpoConfigInput): Promise<EpochMetrics[]> {
  const epochs: EpochMetrics[] = [];
  const { trained, ema } = await train({
    policy: showo2Policy({ ...tinyShowo2(), guidanceScale: 3, ...more }) as Policy,
    prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
    scorer: brightness,
    config: {
      epochs: 2,
      // Their programs are not about ratios.
      divergence: { action: 'off' },
      hacking: { action: 'off' },
      ...given,
      sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4 },
      training: { learningRate: 0, weightDecay: 0, updatesPerEpoch: 2, innerEpochs: 2, ...given.training },
    },
    onEpoch: (metrics) => void epochs.push(metrics),
  });
  tf.dispose([trained, ema]);
  return epochs;
}

const WHOLE = { train: ['showo.model.layers.*', 'diffusion_head_*'] };
const ROLLOUTS = { guidanceInTraining: false };

describe.each([
  ['cpu', 1],
  ['xla', 2],
] as const)('at learning rate 0 on %s', (backend, count) => {
  beforeAll(async () => {
    expect(await tf.setBackend(backend)).toBe(true);
  });

  it.each<[string, Partial<Showo2PolicyOptions>, GrpoConfigInput]>([
    ['one pass per update', {}, {}],
    ['several passes', {}, { training: { batchSize: 2, stepsPerPass: 1 } }],
    ['trunk, text and head', WHOLE, {}],
    ['guidance in rollouts alone', ROLLOUTS, { training: { batchSize: 2 } }],
    ['GRPO-Guard', {}, { algorithm: 'guard', training: { stepsPerPass: 1 } }],
  ])('the ratio is 1 in all updates: %s', async (_, more, given) => {
    const epochs = await run(more, { epochs: count, ...given });
    expect(epochs).toHaveLength(count);
    for (const metrics of epochs) {
      expect(metrics.gradNorm).toBeGreaterThan(0);
      for (const name of ['maxRatioDeviation', 'clipFraction', 'approxKl'])
        expect(metrics[name], name).toBe(0);
      // What the rollout's program and the update's differ by, in each step that trains.
      for (const step of [0, 1]) {
        const [mean, p99] = [
          metrics[`logProbMismatch.${step}.mean`]!,
          metrics[`logProbMismatch.${step}.p99`]!,
        ];
        expect(mean).toBeLessThan(1e-5);
        expect(mean).toBeGreaterThanOrEqual(0);
        expect(p99).toBeGreaterThanOrEqual(mean);
        expect(metrics.maxLogProbMismatch).toBeGreaterThanOrEqual(p99);
        for (const part of ['mean', 'p99']) expect(metrics[`ratio.${step}.${part}`], part).toBe(1);
      }
      expect(metrics).not.toHaveProperty('logProbMismatch.2.mean');
    }
  });
});

it.each(['cpu', 'xla'])('Flow-DPPO has ratio 1 and divergence 0 in all updates on %s', async (backend) => {
  expect(await tf.setBackend(backend)).toBe(true);
  for (const { gradNorm, ...metrics } of await run(
    {},
    { epochs: 1, algorithm: 'flow-dppo', training: { stepsPerPass: 1 } },
  )) {
    expect(gradNorm).toBeGreaterThan(0);
    expect(metrics).toMatchObject({ maxRatioDeviation: 0, maxDivergence: 0, approxKl: 0, maskedFraction: 0 });
  }
});

describe('on two devices', () => {
  afterEach(() => tf.setBackend('cpu'));

  it('the ratio is 1 in all updates, too', async () => {
    expect(await tf.setBackend('xla')).toBe(true);
    const epochs = await run({}, { devices: 2, training: { batchSize: 4, stepsPerPass: 1 } });
    for (const { maxRatioDeviation, clipFraction } of epochs)
      expect([maxRatioDeviation, clipFraction]).toEqual([0, 0]);
  });
});

it('an epoch leaves no tensor', async () => {
  await tf.setBackend('cpu');
  const own = Object.keys(tinyShowo2().params).length; // the model that the run makes
  const before = tf.memory().numTensors;
  await run({}, { epochs: 1, training: { learningRate: 1e-3, batchSize: 2 } });
  expect(tf.memory().numTensors - before).toBe(own);
});
