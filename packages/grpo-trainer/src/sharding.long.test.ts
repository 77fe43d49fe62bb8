/** What of the weights is split over devices, in all layouts: the same run, a part of the bytes on each device. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { showo2Policy } from '@flow-grpo/showo2-model/policy';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { readShards, shardingOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { brightness, tinyShowo2 } from '../../showo2-model/src/testing/tiny-policy';
import type { GrpoConfigInput } from './config/schema';
import type { WeightSharding } from './devices';
import { checkpointFolder } from './node/checkpoint-folder';
import { loraPolicy } from './policies/lora-policy';
import type { Policy } from './policy';
import { train } from './train';
import type { TrainOptions } from './train-options';

const DEVICES = 8;

beforeAll(async () => {
  configure({ devices: DEVICES });
  if (!(await tf.setBackend('xla'))) throw new Error('no PJRT plugin is installed; run the set-up command');
});
afterAll(() => tf.setBackend('cpu'));

const stacked = () => ({ ...tinyShowo2({ layers: 2 }), stackLayers: true });

const policies = {
  'the head trains': () => showo2Policy({ ...tinyShowo2(), guidanceScale: 2 }),
  'everything trains, layers stacked': () =>
    showo2Policy({ ...stacked(), train: ['showo.model.layers.*', 'diffusion_head_*'] }),
  'adapters on stacked layers train': () => {
    const train = ['showo.model.layers.*', 'diffusion_head_a.*'];
    const plain = showo2Policy({ ...stacked(), train });
    return loraPolicy(plain as Policy, { rank: 4, alpha: 8, targets: ['_proj'] });
  },
} as const;

const configOf = (devices: number, sharding: WeightSharding, epochs: number): GrpoConfigInput => ({
  epochs,
  devices,
  ...(sharding as GrpoConfigInput),
  evalEvery: 2,
  evalBatchSize: 6,
  saveEvery: 1,
  // Their programs are not about how weights lie; ahead.xla.test.ts runs them over split ones.
  divergence: { action: 'off' },
  hacking: { action: 'off' },
  sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 8, batchSize: 8 },
  grpo: { clipRange: 0.2, beta: 0.01 },
  training: { learningRate: 1e-3, updatesPerEpoch: 1, batchSize: 8, epsilon: 1e-3 },
});

const evaluated = {
  evalPrompts: Array.from({ length: 9 }, (_, i) => ({ prompt: i % 2 ? 'red' : 'blue' })),
};

/** A run: its numbers and its weights. */
async function run(
  policy: Policy,
  config: GrpoConfigInput,
  more: Partial<TrainOptions<unknown, unknown>> = evaluated,
) {
  const losses: number[] = [];
  const evaluations: number[] = [];
  const { trained, ema } = await train({
    policy,
    prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
    scorer: brightness,
    config,
    onEpoch: ({ loss }) => void losses.push(loss!),
    onEvaluation: ({ scores }) => void evaluations.push(...scores),
    ...more,
  });
  const weights: number[] = [];
  for (const value of Object.values({ ...trained, ...ema })) weights.push(...(await value.data()));
  return { losses, evaluations, weights, trained };
}
type Run = Awaited<ReturnType<typeof run>>;

function expectSame(actual: Run, expected: Run) {
  for (const what of ['losses', 'evaluations', 'weights'] as const) {
    expect(actual[what]).toHaveLength(expected[what].length);
    const far = expected[what].map((value, i) => Math.abs(value - actual[what][i]!));
    expect(Math.max(0, ...far), what).toBeLessThan(1e-5);
  }
}

/** Bytes of tensors on the first device, and of the whole; each tensor is float32. */
async function bytesOf(tensors: readonly tf.Tensor[]) {
  let [here, whole] = [0, 0];
  for (const tensor of tensors) {
    const layout = shardingOf(tensor);
    const [first] = await readShards(tensor);
    here += first!.bytes.length;
    whole += 4 * tensor.size;
    if (layout) expect(Object.keys(layout.mesh.axes)).toContain('data');
  }
  return { here, whole };
}

const layouts: [number, WeightSharding][] = [
  [4, { shardFrozen: true }],
  [4, { shardFrozen: true, shardParameters: true }],
  [8, { shardFrozen: true, shardParameters: true, shardDevices: 4 }],
  [4, { shardParameters: true, shardDevices: 2 }],
  [8, { shardFrozen: true, shardDevices: 2 }],
];

/** By policy, the layouts that are tried. */
const tried: [keyof typeof policies, number[]][] = [
  ['the head trains', [0, 2]],
  ['everything trains, layers stacked', [1]],
  ['adapters on stacked layers train', [1, 4]],
];

describe.each(tried)('%s', (name, chosen) => {
  const make = () => policies[name]() as Policy;
  let one: Run;
  beforeAll(async () => {
    one = await run(make(), configOf(1, {}, 2));
  });

  it.each(chosen.map((i) => layouts[i]!))('on %d devices with %j as on one', async (devices, sharding) => {
    const policy = make();
    const split = await run(policy, configOf(devices, sharding, 2));
    expectSame(split, one);
    const { shardFrozen, shardParameters, shardDevices = devices } = sharding;
    const all = await bytesOf(Object.values(policy.params));
    const trained = await bytesOf(Object.values(split.trained));
    for (const [name, value] of Object.entries(split.trained))
      if (shardParameters) expect(shardingOf(value)!.spec.flat(), name).toContain('data');
    // All weights of the model have an axis that divides.
    expect(all.here).toBe(all.whole / (shardFrozen ? shardDevices : 1));
    expect(trained.here).toBe(trained.whole / (shardParameters ? shardDevices : 1));
  });
});

it('a run goes on in any other layout', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sharding-'));
  try {
    const make = policies['the head trains'];
    const straight = await run(make() as Policy, configOf(1, {}, layouts.length), {});
    const losses: number[] = [];
    let last: Run | undefined;
    for (const [i, [devices, sharding]] of layouts.entries()) {
      const store = checkpointFolder(folder);
      const config = configOf(devices, sharding, i + 1);
      last = await run(make() as Policy, config, { store, resume: 'auto' });
      losses.push(...last.losses);
    }
    expectSame({ ...last!, losses }, straight);
  } finally {
    await rm(folder, { recursive: true });
  }
});
