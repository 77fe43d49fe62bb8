/** The gradient of every algorithm's loss, whole, against differences of that loss. */
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it, vi } from 'vitest';
import { resolveConfig } from '../config/resolve';
import { oneDevice } from '../devices';
import { gaussianFlow } from '../policies/gaussian-flow';
import { randomAt } from '../random';
import { createRollout } from '../rollout/create-rollout';
import { epochPlan } from '../rollout/epoch-plan';
import { passOf } from '../update/pass-of';
import { planUpdates } from '../update/plan';
import { flopCounter } from '../utilisation';
import { type AlgorithmName, algorithms } from './registry';

/** What a loss takes as constants: kept when its gradient is taken, and given again where the loss is evaluated nearby. */
const constants = vi.hoisted(() => ({ kept: [] as unknown[], next: 0, replay: false, inside: false }));
vi.mock('@flow-grpo/nn', async (original) => {
  const nn = await original<typeof import('@flow-grpo/nn')>();
  const stopGradient: typeof nn.stopGradient = (fn) => {
    if (constants.inside) return nn.stopGradient(fn);
    if (constants.replay) return tf.clone(constants.kept[constants.next++] as ReturnType<typeof fn>);
    constants.inside = true;
    const value = tf.keep(nn.stopGradient(fn));
    constants.inside = false;
    constants.kept.push(value);
    return value;
  };
  return { ...nn, stopGradient };
});

const PROMPTS = ['east', 'north'];
const STEP = 0.02;

/** Every term on, and clipped nowhere nearby: at the edge of a clip there is no derivative. */
const OPTIONS: Partial<Record<AlgorithmName, object>> = {
  grpo: { beta: 0.5, clipRange: 10 },
  guard: { beta: 0.5, clipRange: 10 },
  'flow-dppo': { beta: 0.5 },
  nft: { klWeight: 0.3, klTarget: 0.05 },
  awm: { beta: 0.3, emaBeta: 0.5 },
  dgpo: { klWeight: 0.3, betaDpo: 4, truncSteps: 3, clipRange: 10 },
  crd: { klWeight: 0.3 },
  dpo: { beta: 4 },
};

it.each(Object.keys(algorithms) as AlgorithmName[])('%s', async (name) => {
  const config = resolveConfig({
    algorithm: name,
    sampling: { numSteps: 5, promptsPerEpoch: 2, samplesPerPrompt: 4, batchSize: 8 },
    training: { updatesPerEpoch: 1 },
    [name]: OPTIONS[name] ?? {},
  });
  const plan = epochPlan(config);
  const { algorithm } = plan;
  const policy = gaussianFlow({ prompts: PROMPTS, mean: [0.2, 0.3], std: 0.2 });
  const scorer = {
    name: 'first coordinate',
    score: async (images: tf.Tensor) => ({
      scores: Array.from(await images.data()).filter((_, i) => i % 3 === 0),
      details: {},
    }),
  };
  const rollout = createRollout(policy, scorer, plan, config, oneDevice, flopCounter());
  const key = random.key(3);
  const examples = PROMPTS.map((prompt) => ({ prompt }));
  const batch = await rollout(policy.params, examples, plan.window(0), key);

  const dropped = batch.prompts.map(() => false);
  const { advantages } = algorithm.advantages({
    ...{ prompts: batch.prompts, rewards: batch.rewards, dropped },
    details: {},
  });
  const promptIndex = batch.prompts.map((prompt) => PROMPTS.indexOf(prompt));
  const units = algorithm.units.select({ advantages: [...advantages], dropped, promptIndex });
  const [[pass] = []] = planUpdates(units, randomAt(5), {
    ...{ updates: 1, rows: units.flat().length, dropped },
  });
  if (!pass) throw new Error('no image trains');
  const rows = {
    rows: tf.tensor1d(pass.samples.map(batch.rowOf), 'int32'),
    weights: tf.tensor1d([...pass.weights]),
    advantages: tf.tensor1d(pass.samples.map((i) => advantages[i]!)),
    onPolicy: tf.scalar(1),
    key,
  };
  const at = policy.params['mean.weight']!;
  const away = (i: number) => tf.add(at, 0.1 + 0.05 * i);
  const copies = Object.fromEntries(
    Object.keys(algorithm.copies ?? {}).map((copy, i) => [copy, { 'mean.weight': away(i) }]),
  );
  const lossAt = (weights: tf.Tensor) => {
    const given = { trained: { 'mean.weight': weights }, copies };
    const { condition } = batch;
    return algorithm.loss(passOf(policy, algorithm, oneDevice, given, condition, batch, rows)).loss;
  };

  Object.assign(constants, { kept: [], replay: false });
  const gradient = [
    ...tf
      .grad((w: tf.Tensor) => lossAt(w) as tf.Scalar)(at)
      .dataSync(),
  ];
  constants.replay = true;
  const nearby = (i: number, by: number) =>
    tf.tidy(() => {
      constants.next = 0;
      const moved = [...at.dataSync()];
      moved[i]! += by;
      const [value] = lossAt(tf.tensor(moved, at.shape)).dataSync();
      expect(constants.next).toBe(constants.kept.length);
      return value!;
    });
  const slope = (i: number, step: number) => (nearby(i, step) - nearby(i, -step)) / (2 * step);
  // Richardson's: what the third derivative adds to either cancels.
  const differences = gradient.map((_, i) => (4 * slope(i, STEP / 2) - slope(i, STEP)) / 3);
  const size = Math.max(...gradient.map(Math.abs));
  expect(size).toBeGreaterThan(1e-2);
  for (const [i, difference] of differences.entries())
    expect(Math.abs(difference - gradient[i]!)).toBeLessThan(2e-3 * size);
  batch.dispose();
});
