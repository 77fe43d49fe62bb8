import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configure, shardingOf } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GrpoConfigInput } from './config/schema';
import { gaussianFlow } from './policies/gaussian-flow';
import { showo2Policy } from './policies/showo2';
import type { Policy } from './policy';
import { brightness, tinyShowo2 } from './testing/tiny-showo2-policy';
import { type TrainOptions, train } from './train';

let available = true;
beforeAll(async () => {
  configure({ cpuDevices: 4 });
  available = await tf.setBackend('xla').catch(() => false);
});
afterAll(() => tf.setBackend('cpu'));

const config = (devices: number, more: GrpoConfigInput = {}): GrpoConfigInput => ({
  epochs: 5,
  devices,
  evalEvery: 5,
  evalBatchSize: 6, // on four devices filled up to eight
  ...more,
  sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 8, batchSize: 8, ...more.sampling },
  training: {
    learningRate: 0.02,
    clipRange: 0.2,
    beta: 0.01,
    updatesPerEpoch: 1,
    batchSize: 8,
    epsilon: 1e-3, // Adam divides by it where gradients are tiny, and magnifies rounding
    ...more.training,
  },
});

/** Five optimizer steps: losses, rewards of the evaluations, all weights. */
async function fiveSteps<C, P>(
  policy: Policy<C, P>,
  given: GrpoConfigInput,
  more: Partial<TrainOptions<C, P>> = {},
) {
  if (!available) throw new Error('no PJRT plugin is installed; run the set-up command');
  const losses: number[] = [];
  const evaluations: number[] = [];
  const { trained, ema, updates } = await train({
    policy,
    prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
    evalPrompts: Array.from({ length: 9 }, (_, i) => ({ prompt: i % 2 ? 'red' : 'blue' })),
    scorer: brightness,
    config: given,
    onEpoch: ({ loss }) => void losses.push(loss!),
    onEvaluation: ({ scores }) => void evaluations.push(...scores),
    ...more,
  });
  const weights: number[] = [];
  for (const value of Object.values({ ...trained, ...ema })) weights.push(...(await value.data()));
  return { losses, evaluations, weights, updates, trained, ema };
}

function expectSame(
  actual: Awaited<ReturnType<typeof fiveSteps>>,
  expected: Awaited<ReturnType<typeof fiveSteps>>,
) {
  for (const what of ['losses', 'evaluations', 'weights'] as const) {
    expect(actual[what]).toHaveLength(expected[what].length);
    const difference = expected[what].reduce(
      (worst, value, i) => Math.max(worst, Math.abs(value - actual[what][i]!)),
      0,
    );
    expect(difference, what).toBeLessThan(1e-5);
  }
}

it.each([false, true])('2 and 4 devices give what one gives (features %s)', async (withFeatures) => {
  const policy = () =>
    gaussianFlow({ prompts: ['red', 'blue'], mean: [0.2, 0.2], std: 0.2, withFeatures }) as Policy;
  const one = await fiveSteps(policy(), config(1));
  expect(one.updates).toBe(5);
  for (const devices of [2, 4]) expectSame(await fiveSteps(policy(), config(devices)), one);
});

describe('parameters split over devices', () => {
  // Trunk, text and head train, in two passes an update.
  const policy = () =>
    showo2Policy({ ...tinyShowo2(), train: ['showo.model.layers.*', 'diffusion_head_*'] }) as Policy;
  const training = { learningRate: 1e-3 };

  it.each([2, 4])('%d devices give what one gives, and each holds its part', async (devices) => {
    const one = await fiveSteps(policy(), config(1, { training }));
    const split = await fiveSteps(policy(), config(devices, { training, shardParameters: true }));
    expectSame(split, one);
    for (const params of [split.trained, split.ema]) {
      for (const [name, value] of Object.entries(params)) {
        expect(shardingOf(value)!.spec.flat(), name).toContain('data');
      }
    }
    // Nothing moved that was to stay: the weights are where they began.
    const whole = await fiveSteps(policy(), config(devices, { training }));
    expectSame(whole, one);
    for (const value of Object.values(whole.trained)) {
      expect(shardingOf(value)!.spec.every((axis) => axis === null)).toBe(true);
    }
  });

  it('resumes to the same bits', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'split-'));
    try {
      const given = config(2, { training, shardParameters: true, saveEvery: 2 });
      const whole = await fiveSteps(policy(), given, { outputDir: join(folder, 'whole') });
      const outputDir = join(folder, 'parts');
      await fiveSteps(policy(), { ...given, epochs: 2 }, { outputDir });
      const resumed = await fiveSteps(policy(), given, { outputDir, resume: 'auto' });
      const differing = whole.weights.filter((value, i) => !Object.is(value, resumed.weights[i]));
      expect(differing).toHaveLength(0);
      for (const value of Object.values(resumed.trained)) {
        expect(shardingOf(value)!.spec.flat()).toContain('data');
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
