import '@flow-grpo/tfjs-backend-xla';
import { type Showo2PolicyOptions, showo2Policy } from '@flow-grpo/showo2-model/policy';
import { expectClose, maxAbs } from '@flow-grpo/test-support';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { brightness, tinyShowo2 } from '../../../showo2-model/src/testing/tiny-policy';
import type { PassRows } from '../algorithms/pass';
import { resolveConfig } from '../config/resolve';
import { oneDevice } from '../devices';
import { atOnce } from '../event-loop';
import type { Policy } from '../policy';
import { createRollout } from '../rollout/create-rollout';
import { epochPlan } from '../rollout/epoch-plan';
import { flopCounter } from '../utilisation';
import { gradientSum } from './gradient-sum';

const EMBEDDING = 'showo.model.embed_tokens.weight';

/** An epoch, and the function that sums gradients over passes of the given samples. */
async function epoch<C, P>(policy: Policy<C, P>, stepsPerPass?: number) {
  const config = resolveConfig({
    sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 2 },
    training: { ...(stepsPerPass && { stepsPerPass }) },
    grpo: { clipRange: 10, beta: 1 },
  });
  const plan = epochPlan(config);
  const rollout = createRollout(policy, brightness, plan, config, oneDevice, flopCounter());
  const reference = Object.fromEntries(policy.trainable.map((name) => [name, policy.params[name]!]));
  const trained = Object.fromEntries(
    policy.trainable.map((name, i) => {
      const start = policy.params[name]!;
      return [name, tf.add(start, tf.mul(0.02, random.normal(random.key(100 + i), start.shape)))];
    }),
  );
  const key = random.key(3);
  const prompts = ['red', 'blue'].map((prompt) => ({ prompt }));
  const batch = await rollout(trained, prompts, plan.window(0), key);
  const { sum } = gradientSum(policy, plan, oneDevice, flopCounter());
  const [weights, advantages] = [
    [0.4, 0.1, 0.2, 0.3],
    [1, -2, 0.5, -0.3],
  ];
  const rowsOf = (some: readonly number[]): PassRows => ({
    rows: tf.tensor1d([...some], 'int32'),
    weights: tf.tensor1d(some.map((i) => weights[i]!)),
    advantages: tf.tensor1d(some.map((i) => advantages[i]!)),
    onPolicy: tf.scalar(0),
    key: random.key(5),
  });
  const { condition, records, latents, promptOf, steps } = batch;
  const samples = { records, latents, promptOf, steps };
  return (...passes: readonly (readonly number[])[]) =>
    atOnce(
      sum(
        { trained, copies: { reference }, condition, samples },
        passes.map((some) => ({ rows: () => rowsOf(some), inPlace: false })),
      ),
    );
}

describe.each(['cpu', 'xla'])('gradients of an update on %s', (backend) => {
  beforeEach(async () => {
    expect(await tf.setBackend(backend)).toBe(true);
  });
  afterEach(() => tf.setBackend('cpu'));

  const policyOf = (more: Partial<Showo2PolicyOptions>) =>
    showo2Policy({ ...tinyShowo2(), guidanceScale: 3, ...more });

  it.each([
    ['the head', {}],
    ['trunk, text and head', { train: ['showo.model.*', 'diffusion_head_*'] }],
  ])('are those of one pass, cut by images and by steps: %s', async (_, more) => {
    const policy = policyOf(more);
    const whole = (await epoch(policy))([0, 1, 2, 3]);
    const byImages = (await epoch(policy))([0, 3], [1, 2]);
    const bySteps = (await epoch(policy, 1))([3, 1], [2, 0]);
    expect([whole, byImages, bySteps].map(({ values }) => values.length)).toEqual([1, 2, 4]);
    if (policy.trainable.includes(EMBEDDING))
      expect(maxAbs(whole.gradients[EMBEDDING]!.dataSync())).toBeGreaterThan(0);
    for (const name of policy.trainable) {
      const expected = whole.gradients[name]!.dataSync();
      for (const { gradients } of [byImages, bySteps])
        expectClose(gradients[name]!.dataSync(), expected, 1e-4 * maxAbs(expected) + 1e-7, name);
    }
  });

  it('leave no tensor but themselves', async () => {
    const sum = await epoch(policyOf({}), 1);
    const run = () => {
      const { gradients, values } = sum([0, 1], [2, 3]);
      tf.dispose([gradients, values.map(({ row }) => row)]);
    };
    run();
    const before = tf.memory().numTensors;
    run();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuse a weight without effect, by name, in one pass and in several', async () => {
    const { params, ...options } = tinyShowo2();
    const idle = { ...params, 'diffusion_head_b.idle.weight': tf.ones([2]) };
    const sum = await epoch(showo2Policy({ ...options, params: idle }));
    for (const passes of [
      [[0, 1, 2, 3]],
      [
        [0, 1],
        [2, 3],
      ],
    ])
      expect(() => sum(...passes)).toThrow(/1 weights .* no effect .*: diffusion_head_b\.idle\.weight;/);
  });
});

it('prepare text once, however many passes there are', async () => {
  const policy = showo2Policy({ ...tinyShowo2(), guidanceScale: 3 });
  let prepared = 0;
  const counting: typeof policy = {
    ...policy,
    prepare: (...given) => {
      prepared++;
      return policy.prepare!(...given);
    },
  };
  const sum = await epoch(counting, 1);
  prepared = 0;
  sum([0, 1], [2], [3]);
  expect(prepared).toBe(3); // for the weights, forward and with gradients, and for the reference
});
