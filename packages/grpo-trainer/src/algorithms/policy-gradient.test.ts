import '@flow-grpo/tfjs-backend-xla';
import { logProbOfStep, type StepTensors } from '@flow-grpo/sde-sampler';
import { expectClose, maxAbs } from '@flow-grpo/test-support';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveConfig } from '../config/resolve';
import { oneDevice } from '../devices';
import { perPromptAdvantages } from '../maths/advantages';
import { gaussianFlow } from '../policies/gaussian-flow';
import { createRollout, type EpochBatch } from '../rollout/create-rollout';
import { epochPlan } from '../rollout/epoch-plan';
import type { EpochSamples } from '../rollout/samples';
import { passOf } from '../update/pass-of';
import { flopCounter } from '../utilisation';
import type { PassRows } from './pass';
import type { PolicyGradientOptions } from './policy-gradient';

const PROMPTS = ['east', 'north'];
const policy = gaussianFlow({ prompts: PROMPTS, mean: [0.2, 0.3], std: 0.2 });
const config = resolveConfig({
  sampling: { numSteps: 5, promptsPerEpoch: 2, samplesPerPrompt: 6, batchSize: 6 },
});
const plan = epochPlan(config);
const start = policy.params['mean.weight']!;
const scorer = {
  name: 'first coordinate',
  score: async (images: tf.Tensor) => ({
    scores: Array.from(await images.data()).filter((_, i) => i % 3 === 0),
    details: {},
  }),
};

let batch: EpochBatch<{ index: tf.Tensor1D }>;
let rows: PassRows;
beforeAll(async () => {
  const rollout = createRollout(policy, scorer, plan, config, oneDevice, flopCounter());
  const examples = PROMPTS.map((prompt) => ({ prompt }));
  const key = random.key(3);
  batch = await rollout(policy.params, examples, plan.window(0), key);
  const { advantages } = perPromptAdvantages(batch.prompts, batch.rewards);
  const order = [7, 0, 3, 11, 5, 2]; // of both prompts
  rows = {
    rows: tf.tensor1d(order.map(batch.rowOf), 'int32'),
    weights: tf.tensor1d([0.1, 0.3, 0.2, 0.15, 0.25, 0]),
    advantages: tf.tensor1d(order.map((i) => advantages[i]!)),
    onPolicy: tf.scalar(1),
    key,
  };
});
afterAll(() => {
  batch.dispose();
  tf.dispose(rows as never);
});

const lossAt = (
  w: tf.Tensor,
  more: Partial<PolicyGradientOptions>,
  given: PassRows,
  samples: EpochSamples = batch,
) => {
  const { algorithm } = epochPlan({ ...config, grpo: { ...config.grpo, ...more } });
  const weights = { trained: { 'mean.weight': w }, copies: { reference: policy.params } };
  return algorithm.loss(passOf(policy, algorithm, oneDevice, weights, batch.condition, samples, given)).loss;
};
const gradientOf = (loss: (weights: tf.Tensor) => tf.Tensor) =>
  tf.tidy(() =>
    tf
      .grad((w: tf.Tensor) => loss(w) as tf.Scalar)(start)
      .dataSync(),
  );
const gradient = (
  more: Partial<PolicyGradientOptions> = {},
  given: Partial<PassRows> = {},
  samples: EpochSamples = batch,
) => gradientOf((w) => lossAt(w, more, { ...rows, ...given }, samples));

/** −Σ weight · advantage · log p, averaged over steps: the policy gradient as one writes it down. */
const plain = (clamp: number) =>
  gradientOf((w) => {
    const prepared = policy.prepare!({
      trained: { 'mean.weight': w },
      condition: batch.condition,
      purpose: 'training',
    });
    const prompts = tf.gather(batch.promptOf, rows.rows);
    const gain = tf.mul(rows.weights, tf.clipByValue(rows.advantages, -clamp, clamp));
    const perStep = Array.from({ length: plan.algorithm.pointsPerImage }, (_, s) => {
      const at = (value: tf.Tensor) => tf.gather(tf.gather(value, rows.rows), s, 1);
      const step = Object.fromEntries(
        Object.entries(batch.steps!).map(([name, value]) => [
          name,
          tf.fill([6], (value.arraySync() as number[])[s]!),
        ]),
      ) as unknown as StepTensors;
      const x = at(batch.records!.x);
      const { velocity } = policy.velocity({
        trained: {},
        x,
        t: step.t,
        condition: batch.condition,
        rows: prompts as tf.Tensor1D,
        prepared,
        purpose: 'training',
      });
      return tf.sum(tf.mul(gain, logProbOfStep(step, { x, velocity, next: at(batch.records!.next) })));
    });
    return tf.neg(tf.div(tf.addN(perStep), plan.algorithm.pointsPerImage));
  });

describe('the first update', () => {
  it('has the gradient of the plain policy gradient', () => {
    const expected = plain(5);
    expect(maxAbs(expected)).toBeGreaterThan(1e-3);
    expectClose(gradient(), expected, 1e-5 * maxAbs(expected));
    // Later updates compare with what was measured before: where nothing has changed, they are like the first.
    const changes = { logProb: tf.zeros([rows.rows.shape[0] * plan.algorithm.pointsPerImage]) };
    expect(gradient({}, { onPolicy: tf.scalar(0), changes })).toEqual(gradient());
  });

  it('is the sum of those of some steps each', () => {
    const groups = [[0, 2], [1]];
    expect(groups.flat()).toHaveLength(plan.algorithm.pointsPerImage);
    const parts = groups.map((group) => gradient({ beta: 1 }, { steps: tf.tensor1d(group, 'int32') }));
    const sum = parts[0]!.map((value, i) => value + parts[1]![i]!);
    expectClose(sum, gradient({ beta: 1 }), 1e-5 * maxAbs(sum));
  });

  it('weighs samples that the rollout found less likely, up to a cap', () => {
    const expected = plain(5);
    const { logProb } = batch.records!;
    const half = { ...batch, records: { ...batch.records!, logProb: tf.sub(logProb, Math.log(2)) } };
    const weighed = (importanceCap: number) => gradient({ importanceCap }, {}, half);
    for (const [cap, factor] of [
      [1.5, 1.5],
      [10, 2],
    ] as const) {
      const times = Array.from(expected, (value) => factor * value);
      expectClose(weighed(cap), times, 1e-5 * maxAbs(times));
    }
  });

  it('clamps advantages', () => {
    const expected = plain(0.5);
    expect(expected).not.toEqual(plain(5));
    expectClose(gradient({ advClipMax: 0.5 }), expected, 1e-5 * maxAbs(expected));
  });

  it.each(['step-mean', 'velocity'] as const)(
    'has no gradient of the KL on the %s at the reference',
    (klTarget) => {
      expect(gradient({ beta: 10, klTarget })).toEqual(gradient());
    },
  );
});

describe.each(['step-mean', 'velocity'] as const)('the KL on the %s', (klTarget) => {
  it('pulls towards the reference', () => {
    const away = tf.add(start, 0.1);
    const none = { ...rows, advantages: tf.zerosLike(rows.advantages) };
    const [pull] = tf.grads((w: tf.Tensor) => lossAt(w, { beta: 1, klTarget }, none))([away]);
    for (const value of pull!.dataSync()) expect(value).toBeGreaterThan(0);
  });
});
