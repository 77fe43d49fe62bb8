/** Guidance in rollouts, and none in updates. */
import '@flow-grpo/tfjs-backend-xla';
import { gatherSteps, stepMean, stepSigma } from '@flow-grpo/sde-sampler';
import { encodeText, showo2Velocity as velocityOf } from '@flow-grpo/showo2-model';
import { type Showo2PolicyOptions, showo2Policy } from '@flow-grpo/showo2-model/policy';
import { expectClose, maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import { useWasm } from '@flow-grpo/test-support/wasm';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { brightness, tinyShowo2 } from '../../../showo2-model/src/testing/tiny-policy';
import type { PassRows } from '../algorithms/pass';
import { resolveConfig } from '../config/resolve';
import type { GrpoConfigInput } from '../config/schema';
import { oneDevice } from '../devices';
import type { EpochMetrics } from '../epoch-metrics';
import type { Params } from '../policy';
import { createRollout } from '../rollout/create-rollout';
import { epochPlan } from '../rollout/epoch-plan';
import { train } from '../train';
import { gradientPass, zeroGradients } from '../update/gradient-pass';
import { passOf } from '../update/pass-of';
import { flopCounter } from '../utilisation';

await useWasm();

const options = tinyShowo2({ layers: 2 });
const { params, config: model } = options;
const WHOLE = ['showo.model.layers.*', 'diffusion_head_*'];
const GUIDED = { guidanceScale: 3, guidanceInTraining: true };
const PLAIN = { guidanceScale: 0 };
const ROLLOUTS = { guidanceScale: 3, guidanceInTraining: false };

/** An epoch's samples, drawn with the weights of `tinyShowo2`, and rows of it that update. */
async function epoch(
  more: Partial<Showo2PolicyOptions>,
  given: GrpoConfigInput['grpo'] = {},
  algorithm: 'grpo' | 'guard' = 'grpo',
) {
  const policy = showo2Policy({ ...options, ...more });
  const { params } = policy;
  const config = resolveConfig({
    sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 2 },
    algorithm,
    training: { updatesPerEpoch: 1 },
    [algorithm]: { clipRange: 10, ...given },
  });
  const plan = epochPlan(config);
  const rollout = createRollout(policy, brightness, plan, config, oneDevice, flopCounter());
  const start = Object.fromEntries(policy.trainable.map((name) => [name, params[name]!]));
  const key = random.key(3);
  const prompts = ['red', 'blue'].map((prompt) => ({ prompt }));
  const batch = await rollout(start, prompts, plan.window(0), key);
  const rows: PassRows = {
    rows: tf.tensor1d([3, 0, 1], 'int32'),
    weights: tf.tensor1d([0.5, 0.2, 0.3]),
    advantages: tf.tensor1d([1, -2, 0.5]),
    onPolicy: tf.scalar(1),
    key,
  };
  const copies: Record<string, Params> = given.beta ? { reference: start } : {};
  const passAt = (trained: Params, given: PassRows) =>
    passOf(policy, plan.algorithm, oneDevice, { trained, copies }, batch.condition, batch, given);
  /** The loss, its old policy being the one that drew. */
  const loss = (trained: Params) => {
    const [now, before] = [trained, start].map((weights) => plan.algorithm.measure!(passAt(weights, rows)));
    const changes = Object.fromEntries(
      Object.entries(now!).map(([name, value]) => [name, stop(tf.sub(value, before![name]!))]),
    );
    return plan.algorithm.loss(passAt(trained, { ...rows, changes }));
  };
  const metric = (name: string) => {
    const { metrics } = loss(start);
    return metrics[name]!.dataSync()[0]!;
  };
  return { policy, plan, start, batch, rows, copies, loss, metric };
}

/** Constant for gradients. */
const stop = (value: tf.Tensor) => tf.customGrad(() => ({ value: tf.clone(value), gradFunc: () => [] }))();

const gradientsOf = (loss: (trained: Params) => tf.Tensor, at: Params) => {
  const names = Object.keys(at);
  const named = (values: tf.Tensor[]) => Object.fromEntries(names.map((name, i) => [name, values[i]!]));
  return tf.grads((...values: tf.Tensor[]) => loss(named(values)) as tf.Scalar)(Object.values(at));
};

describe.each([
  ['the head from kept features', undefined],
  ['trunk, text and head', WHOLE],
])('%s', (_, trained) => {
  const more = trained ? { train: trained } : {};

  it('draws the same images either way, and records the log-probabilities of what trains', async () => {
    const [guided, rollouts] = [await epoch({ ...more, ...GUIDED }), await epoch({ ...more, ...ROLLOUTS })];
    expect(rollouts.batch.latents.dataSync()).toEqual(guided.batch.latents.dataSync());
    expect(rollouts.batch.records!.next.dataSync()).toEqual(guided.batch.records!.next.dataSync());
    const [own, other] = [rollouts, guided].map(({ batch }) => batch.records!.logProb.dataSync());
    expect(maxAbsDiff(own!, other!)).toBeGreaterThan(0.01);
    // What was drawn lies around the guided mean, so it is likelier there.
    const mean = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b) / values.length;
    expect(mean(own!)).toBeLessThan(mean(other!));
  });

  it.each([0, 5])('has the gradient of the conditional loss alone, KL with weight %d', async (beta) => {
    const { policy, plan, start, batch, rows, loss } = await epoch({ ...more, ...ROLLOUTS }, { beta });
    const moved = Object.fromEntries(
      Object.entries(start).map(([name, value], i) => [
        name,
        tf.add(value, tf.mul(0.1, random.normal(random.key(100 + i), value.shape))),
      ]),
    );
    const actual = gradientsOf((values) => loss(values).loss, moved);

    // Written down once more, from the prompts' tokens and the model's own functions, every row by itself.
    const prompts = tf.gather(batch.promptOf, rows.rows);
    const { tokens, lengths } = batch.condition.prompt;
    const meanAt = (trainedNow: Params, s: number) => {
      const weights = { ...params, ...trainedNow };
      const step = gatherSteps(batch.steps!, tf.fill([3], s, 'int32') as tf.Tensor1D);
      const x = recordAt(batch.records!.x, rows, s);
      const prompt = encodeText(weights, model, tf.gather(tokens, prompts), tf.gather(lengths, prompts));
      const { velocity } = velocityOf(weights, model, x, step.t, { prompt, unconditional: prompt }, PLAIN);
      return { step, mean: stepMean(step, { x, velocity }) };
    };
    const ratios: number[] = [];
    const byHand = (now: Params) => {
      const perStep = Array.from({ length: plan.algorithm.pointsPerImage }, (_, s) => {
        const next = recordAt(batch.records!.next, rows, s);
        const [{ step, mean }, { mean: first }] = [meanAt(now, s), meanAt(start, s)];
        // Densities up to a factor that both share.
        const density = (of: tf.Tensor) => tf.exp(tf.mul(-0.5, scaledSquare(tf.sub(next, of), step.std)));
        const ratio = tf.div(density(mean), density(first));
        ratios.push(...ratio.dataSync());
        const kl = tf.mul(0.5, scaledSquare(tf.sub(mean, first), stepSigma(step)));
        const each = tf.sub(tf.mul(beta, kl), tf.mul(rows.advantages, ratio));
        return tf.sum(tf.mul(rows.weights, each));
      });
      return tf.div(tf.addN(perStep), plan.algorithm.pointsPerImage);
    };
    const expected = gradientsOf(byHand, moved);
    expect(Math.max(...ratios.map((ratio) => Math.abs(ratio - 1)))).toBeGreaterThan(0.01);
    const largest = Math.max(...expected.map((gradient) => maxAbs(gradient.dataSync())));
    for (const [j, gradient] of expected.entries()) {
      expectClose(actual[j]!.dataSync(), gradient.dataSync(), 1e-4 * largest, policy.trainable[j]);
    }
    expect(largest).toBeGreaterThan(1e-3);
  });

  it.each(['grpo', 'guard'] as const)('has ratios of 1 to the weights that drew, %s', async (algorithm) => {
    const { metric } = await epoch({ ...more, ...ROLLOUTS }, {}, algorithm);
    expect(metric('maxRatioDeviation')).toBe(0);
    expect(metric('maxLogProbMismatch')).toBeLessThan(1e-5);
  });

  it('is what there was with guidance in updates, and makes no difference without guidance', async () => {
    const gradients = async (given: Partial<Showo2PolicyOptions>) => {
      const { start, loss } = await epoch({ ...more, ...given }, { beta: 1 });
      return gradientsOf((values) => loss(values).loss, start).flatMap((value) => [...value.dataSync()]);
    };
    const guided = await gradients(GUIDED);
    expect(await gradients({ guidanceScale: 3 })).toEqual(guided);
    expect(await gradients(ROLLOUTS)).not.toEqual(guided);
    const plain = await gradients({ guidanceScale: 0 });
    expect(await gradients({ guidanceScale: 0, guidanceInTraining: false })).toEqual(plain);
  });
});

describe('a gradient pass on xla', () => {
  beforeAll(async () => {
    if (!(await tf.setBackend('xla').catch(() => false))) {
      throw new Error('no PJRT plugin is installed; run the set-up command');
    }
  });
  afterAll(() => tf.setBackend('wasm'));

  it.each([
    ['the head', undefined],
    ['trunk, text and head', WHOLE],
  ])('computes what one of a policy without guidance does: %s', async (_, trained) => {
    const own = { ...tinyShowo2(), ...(trained && { train: trained }) };
    const flops = async (more: Partial<Showo2PolicyOptions>) => {
      const { policy, plan, start, batch, rows, copies } = await epoch({ ...own, ...more }, { beta: 1 });
      const { records, latents, promptOf, steps } = batch;
      const samples = { records, latents, promptOf, steps };
      const pass = gradientPass(policy, plan.algorithm, oneDevice);
      return pass.lower(zeroGradients()(start), start, copies, batch.condition, samples, rows).flops;
    };
    const [rollouts, none, guided] = [await flops(ROLLOUTS), await flops(PLAIN), await flops(GUIDED)];
    expect(rollouts).toBe(none);
    expect(rollouts).toBeLessThan(0.8 * guided);
  });
});

describe('training', () => {
  const run = async (more: Partial<Showo2PolicyOptions>, epochs: number, given: GrpoConfigInput = {}) => {
    const metrics: EpochMetrics[] = [];
    const { trained, ema } = await train({
      policy: showo2Policy({ ...options, ...ROLLOUTS, ...more }),
      prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
      scorer: brightness,
      config: {
        epochs,
        sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4 },
        training: {
          learningRate: 3e-3,
          updatesPerEpoch: 1,
          ...given.training,
        },
        grpo: { clipRange: 0.1, beta: 0.01 },
        dpo: { beta: 0.01 },
        // What they compute is not about guidance.
        divergence: { action: 'off' },
        hacking: { action: 'off' },
        ...(given.algorithm && { algorithm: given.algorithm }),
      },
      onEpoch: (one) => void metrics.push(one),
    });
    tf.dispose([trained, ema]);
    return metrics;
  };

  it('starts with ratio 1 and KL 0, and later updates of an epoch leave it', async () => {
    const [one] = await run({}, 1);
    expect(one!.maxRatioDeviation).toBe(0);
    expect(one!.maxLogProbMismatch).toBeLessThan(1e-6);
    expect(one!.kl).toBe(0);
    const [two] = await run({}, 1, { training: { updatesPerEpoch: 2 } });
    expect(two!.maxLogProbMismatch).toBeLessThan(1e-6);
    expect(two!.maxRatioDeviation).toBeGreaterThan(1e-4);
    expect(two!.maxRatioDeviation).toBeLessThan(0.5);
  });

  it('raises the reward, the head alone training', async () => {
    const metrics = await run({}, 12);
    expect(metrics.at(-1)!.reward).toBeGreaterThan(metrics[0]!.reward + 0.02);
  });

  it.each(['sft', 'dpo'] as const)('trains the conditional velocity by %s too', async (algorithm) => {
    const [one] = await run({}, 1, { algorithm });
    const [guided] = await run({ guidanceInTraining: true }, 1, { algorithm });
    expect(one!.reward).toBe(guided!.reward);
    expect(one!.gradNorm).toBeGreaterThan(0);
    expect(one!.gradNorm).not.toBe(guided!.gradNorm);
  });
});

/** Step `s` of the rows' records. */
const recordAt = (records: tf.Tensor, { rows }: PassRows, s: number) =>
  tf.gather(tf.gather(records, rows), s, 1);

/** Mean over all but the batch axis of (value / scale)², [B]. */
const scaledSquare = (value: tf.Tensor, scale: tf.Tensor) =>
  tf.div(tf.mean(tf.reshape(tf.square(value), [value.shape[0]!, -1]), 1), tf.square(scale));
