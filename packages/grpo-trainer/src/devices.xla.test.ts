import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { showo2Policy } from '@flow-grpo/showo2-model/policy';
import { longOnly } from '@flow-grpo/test-support';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { cast, compileAhead, jit, shardingOf, storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { brightness, tinyShowo2 } from '../../showo2-model/src/testing/tiny-policy';
import type { GrpoConfigInput } from './config/schema';
import { oneDevice, placementOn } from './devices';
import { adamWInit } from './maths/adamw';
import { checkpointFolder } from './node/checkpoint-folder';
import { gaussianFlow } from './policies/gaussian-flow';
import { loraPolicy } from './policies/lora-policy';
import type { Policy } from './policy';
import { train } from './train';
import type { TrainOptions } from './train-options';
import { zeroGradients } from './update/gradient-pass';
import { zeroPrepared } from './update/preparation';

let available = true;
beforeAll(async () => {
  configure({ devices: 4 });
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
  grpo: { clipRange: 0.2, beta: 0.01 },
  training: {
    learningRate: 0.02,
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
  const tensors: number[] = [];
  const { trained, ema, updates } = await train({
    policy,
    prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
    evalPrompts: Array.from({ length: 9 }, (_, i) => ({ prompt: i % 2 ? 'red' : 'blue' })),
    scorer: brightness,
    config: given,
    onEpoch: ({ loss }) => {
      losses.push(loss!);
      tensors.push(tf.memory().numTensors);
    },
    onEvaluation: ({ scores }) => void evaluations.push(...scores),
    ...more,
  });
  const [, first, ...later] = tensors; // the first epoch makes what all share
  const compared = later.slice(0, 2);
  expect(compared, 'tensors after each epoch').toEqual(compared.map(() => first));
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

it('a step a pass gives what all steps at once give, on 1 and on 4 devices', async () => {
  const policy = () => gaussianFlow({ prompts: ['red', 'blue'], mean: [0.2, 0.2], std: 0.2 }) as Policy;
  const one = await fiveSteps(policy(), config(1));
  for (const devices of [1, 4]) {
    expectSame(await fiveSteps(policy(), config(devices, { training: { stepsPerPass: 1 } })), one);
  }
});

describe.each([2, 4])('rows on %d devices', (devices) => {
  const WIDTH = 64;
  /** Batches of rows that are numbered through, split over the devices and joined. */
  const joined = (batches: number, batchSize: number) => {
    const placement = placementOn(devices);
    const parts = Array.from({ length: batches }, (_, b) => {
      const first = tf.range(b * batchSize, (b + 1) * batchSize);
      const row = tf.tile(tf.reshape(first, [-1, 1]), [1, WIDTH]);
      return placement.shardBatch({ wide: row, narrow: cast(row, 'bfloat16') });
    });
    return { placement, tree: placement.join(parts) };
  };

  it('are found where they lie, whatever batches they came in', () => {
    const { placement, tree } = joined(3, 8);
    const wanted = [23, 0, 7, 8, 15, 16, 3, 3];
    const places = tf.tensor1d(
      wanted.map((i) => placement.rowOf(i, 8, 24)),
      'int32',
    );
    const taken = jit((from: typeof tree, at: tf.Tensor1D) => placement.take(from, at))(tree, places);
    for (const value of [taken.wide, taken.narrow]) {
      const first = Array.from(value.dataSync()).filter((_, i) => i % WIDTH === 0);
      expect(first).toEqual(wanted);
      expect(shardingOf(value)!.spec).toEqual(['data', null]);
    }
    expect(storageOf(taken.narrow)).toBe('bfloat16');
  });

  it('move, but not all of them for a few', () => {
    const temporary = (batches: number) => {
      const { placement, tree } = joined(batches, 64);
      const places = tf.range(0, 8, 1, 'int32') as tf.Tensor1D;
      const take = jit((from: typeof tree, at: tf.Tensor1D) => placement.take(from, at));
      return take.lower(tree, places).cost().temporaryBytes;
    };
    const few = temporary(1);
    expect(few).toBeGreaterThan(0);
    expect(temporary(16)).toBeLessThan(2 * few);
  });
});

describe('parameters split over devices', () => {
  // Trunk, text and head train, in two passes per update.
  const policy = () =>
    showo2Policy({ ...tinyShowo2(), train: ['showo.model.layers.*', 'diffusion_head_*'] }) as Policy;
  // The watches' programs run above, and are not about how parameters lie.
  const off = { action: 'off' } as const;
  const unwatched = { training: { learningRate: 1e-3 }, divergence: off, hacking: off };

  const splitOn = (devices: number) => config(devices, { ...unwatched, shardParameters: true });

  let one: Awaited<ReturnType<typeof fiveSteps>>;
  let onFour: typeof one;
  beforeAll(async () => {
    one = await fiveSteps(policy(), config(1, unwatched));
    onFour = await fiveSteps(policy(), splitOn(4));
  });

  it.each([4, ...longOnly([2])])(
    '%d devices give what one gives, and each holds its part',
    async (devices) => {
      const split = devices === 4 ? onFour : await fiveSteps(policy(), splitOn(devices));
      expectSame(split, one);
      for (const params of [split.trained, split.ema]) {
        for (const [name, value] of Object.entries(params)) {
          expect(shardingOf(value)!.spec.flat(), name).toContain('data');
        }
      }
      // Nothing moved that was to stay: the weights are where they began.
      const whole = await fiveSteps(policy(), config(devices, unwatched));
      expectSame(whole, one);
      for (const value of Object.values(whole.trained)) {
        expect(shardingOf(value)!.spec.every((axis) => axis === null)).toBe(true);
      }
    },
  );

  // sharding.long.test.ts splits adapters over four devices.
  it.each(longOnly([2]))('%d devices hold their part of stacked adapters', async (devices) => {
    const adapted = () => {
      const plain = showo2Policy({
        ...tinyShowo2({ layers: 2 }),
        stackLayers: true,
        train: ['showo.model.layers.*', 'diffusion_head_a.*'],
      });
      return loraPolicy(plain, { rank: 4, alpha: 8, targets: ['_proj'] }) as Policy;
    };
    const given = { ...config(1, unwatched), epochs: 2 };
    const one = await fiveSteps(adapted(), given);
    const split = await fiveSteps(adapted(), { ...given, devices, shardParameters: true });
    expectSame(split, one);
    const stacked = 'showo.model.layers.*.self_attn.q_proj.lora_A.weight';
    expect(split.trained[stacked]!.shape).toEqual([2, 4, 32]);
    for (const [name, value] of Object.entries(split.trained)) {
      expect(shardingOf(value)!.spec.flat(), name).toContain('data');
    }
  });

  it('resumes to the same bits', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'split-'));
    try {
      const given = { ...splitOn(4), saveEvery: 2 };
      const store = checkpointFolder(folder);
      await fiveSteps(policy(), { ...given, epochs: 2 }, { store });
      const resumed = await fiveSteps(policy(), given, { store, resume: 'auto' });
      const differing = onFour.weights.filter((value, i) => !Object.is(value, resumed.weights[i]));
      expect(differing).toHaveLength(0);
      for (const value of Object.values(resumed.trained)) {
        expect(shardingOf(value)!.spec.flat()).toContain('data');
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

it('sums over devices begin as zeros that are no arrays on the host', async () => {
  const before = tf.memory().numTensors;
  await compileAhead(() => {
    const prepared = { text: tf.fill([100_000, 100_000], 2) }; // larger than any typed array
    for (const placement of [oneDevice, placementOn(4), placementOn(4, { shardParameters: true })]) {
      zeroPrepared(placement)(prepared);
      zeroGradients(placement)(prepared);
    }
    adamWInit(prepared);
  });
  expect(tf.memory().numTensors).toBe(before);
});
