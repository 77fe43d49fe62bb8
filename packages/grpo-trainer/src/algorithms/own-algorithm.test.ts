/** An algorithm that the package does not have, written against what it exports, trained end to end. */
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { memoryStore } from '../checkpoint/memory-store';
import type { CheckpointStore } from '../checkpoint/store';
import { resolveConfig } from '../config/resolve';
import type { GrpoConfigInput } from '../config/schema';
import type { EpochMetrics } from '../epoch-metrics';
import { gaussianFlow } from '../policies/gaussian-flow';
import type { Policy } from '../policy';
import { train } from '../train';
import type { TrainResult } from '../train-options';
import {
  advantagesWithin,
  allImages,
  defineAlgorithm,
  type Loss,
  noisedPoints,
  type Pass,
  wholeGroups,
} from './index';

const options = z.strictObject({
  beta: z.number().positive().default(1).describe('Length of the step between the two velocities (beta)'),
  decay: z.number().min(0).max(1).default(0.5).describe('What the old policy keeps per epoch (decay)'),
  timesPerImage: z.int().min(1).default(4).describe('Times per image'),
  byGroup: z.boolean().default(false).describe('Whole groups in a pass'),
});

const perImage = (value: tf.Tensor) => tf.mean(tf.reshape(value, [value.shape[0]!, -1]), 1);

/** Negative-aware fine-tuning in its simplest form: no noise in rollouts, an old policy that samples and follows. */
const contrast = defineAlgorithm({
  name: 'contrast',
  summary: 'Pulls towards good images and away from bad ones, around an old policy',
  source: 'a test',
  options,
  check: ({ decay }, { training }) =>
    decay === 1 && training.updatesPerEpoch > 1 ? ['contrast.decay is 1: the old policy never follows'] : [],
  configure: (own, { config, epochSize }) => ({
    rollout: { sampler: 'ode', keep: 'latents', weights: 'old' },
    copies: {
      old: { moves: 'epoch', decay: () => own.decay },
      slow: { moves: 'update', decay: (updates) => (updates === 0 ? 0 : 0.9) },
      reference: { moves: 'never' },
    },
    pointsPerImage: own.timesPerImage,
    units: own.byGroup
      ? wholeGroups(config.sampling.promptsPerEpoch, config.sampling.samplesPerPrompt)
      : allImages(epochSize),
    advantages: (scored) => advantagesWithin(scored.prompts, scored, { globalStd: true }),
    metrics: { towards: 'mean', images: 'sum', farthest: 'max' },
    loss: (pass) => contrastLoss(pass, own),
  }),
});

function contrastLoss(pass: Pass, { beta, timesPerImage }: z.output<typeof options>): Loss {
  const points = noisedPoints(pass, { timesPerImage });
  const velocity = pass.velocity('trained', points);
  const old = pass.velocity('old', points);
  const [slow, reference] = [pass.velocity('slow', points), pass.velocity('reference', points)];
  const step = tf.mul(beta, tf.sub(velocity, old));
  const error = (v: tf.Tensor) => perImage(tf.square(tf.sub(v, points.target)));
  const times = points.t.shape[0]! / pass.rows.shape[0];
  const towards = tf.add(0.5, tf.mul(0.1, tf.clipByValue(tf.tile(pass.advantages, [times]), -5, 5)));
  const each = tf.add(
    tf.mul(towards, error(tf.add(old, step))),
    tf.mul(tf.sub(1, towards), error(tf.sub(old, step))),
  );
  const weights = tf.div(tf.tile(pass.weights, [times]), timesPerImage);
  return {
    loss: tf.sum(tf.mul(weights, each)),
    metrics: {
      towards: tf.sum(tf.mul(weights, towards)),
      images: tf.sum(tf.cast(tf.greater(pass.weights, 0), 'float32')),
      farthest: tf.maximum(tf.max(tf.abs(tf.sub(velocity, reference))), tf.max(tf.abs(tf.sub(old, slow)))),
    },
  };
}

const TARGETS: Record<string, readonly [number, number]> = { east: [1, 0], north: [0, 1] };
const examples = Object.keys(TARGETS).map((prompt) => ({ prompt }));

/** exp(−|x − target|² / 2·0.6²), a plain function. */
async function nearness(images: tf.Tensor4D, prompts: string[]): Promise<number[]> {
  const pixels = await images.data();
  return prompts.map((prompt, i) => {
    const [x, y] = TARGETS[prompt]!;
    return Math.exp(-((pixels[3 * i]! - x) ** 2 + (pixels[3 * i + 1]! - y) ** 2) / 0.72);
  });
}

const base = {
  epochs: 6,
  evalEvery: 1000,
  saveEvery: 2,
  evalBatchSize: 256,
  sampling: { numSteps: 6, shift: 1, promptsPerEpoch: 2, samplesPerPrompt: 16 },
  training: { learningRate: 0.02, beta2: 0.99, weightDecay: 0 },
  ema: { decay: 0.5, interval: 1 },
  divergence: { action: 'off' },
} satisfies GrpoConfigInput;

interface RunOptions {
  readonly config?: Parameters<typeof train<unknown, unknown, typeof contrast>>[0]['config'];
  readonly store?: CheckpointStore;
  readonly signal?: AbortSignal;
  readonly onEpoch?: (metrics: EpochMetrics) => void;
}

async function run({ config, ...more }: RunOptions = {}) {
  const rewards: number[] = [];
  const epochs: EpochMetrics[] = [];
  const result = await train({
    policy: gaussianFlow({ prompts: Object.keys(TARGETS), mean: [0.2, 0.2], std: 0.2 }) as Policy,
    algorithm: contrast,
    prompts: examples,
    scorer: nearness,
    evalPrompts: Array.from({ length: 256 }, (_, i) => examples[i % 2]!),
    ...(more.store && { resume: 'auto' as const }),
    ...more,
    config: { ...base, ...config },
    onEvaluation: ({ reward }) => void rewards.push(reward),
    onEpoch: (metrics) => {
      epochs.push(metrics);
      more.onEpoch?.(metrics);
    },
  });
  return { result, rewards, epochs };
}

const bits = ({ trained, ema }: TrainResult) =>
  [trained, ema].map((params) => Object.values(params).map((value) => [...value.dataSync()]));

let results: TrainResult[] = [];
afterEach(() => {
  tf.dispose(results.flatMap(({ trained, ema }) => [trained, ema]));
  results = [];
});

describe("an algorithm of your own", () => {
  it.each([0, 1, 2])('learns, seed %d', async (seed) => {
    const { rewards, epochs, result } = await run({ config: { ...base, epochs: 60, seed } });
    results.push(result);
    expect(rewards[0]).toBeLessThan(0.5);
    expect(rewards.at(-1)).toBeGreaterThan(0.9);
    expect(epochs[0]).not.toHaveProperty('windowStart'); // rollouts are ODEs
  });

  it('has its metrics reduced as it says, over passes and updates', async () => {
    const training = { ...base.training, batchSize: 8, stepsPerPass: 2 };
    const { epochs, result } = await run({ config: { ...base, epochs: 1, training } });
    results.push(result);
    const [{ towards, images, farthest }] = epochs as [EpochMetrics];
    // Two updates of two passes of eight images, each twice for half of their times: both halves are counted.
    expect(images).toBe(2 * 32);
    expect(towards).toBeCloseTo(0.5, 2);
    expect(farthest).toBeGreaterThan(0);
  });

  it('keeps groups together, in any number of passes', async () => {
    const contrast = { byGroup: true };
    const training = { ...base.training, updatesPerEpoch: 1 };
    const whole = await run({ config: { ...base, training, contrast } });
    const parts = await run({ config: { ...base, training: { ...training, batchSize: 16 }, contrast } });
    results.push(whole.result, parts.result);
    for (const { epochs } of [whole, parts])
      expect(epochs.map(({ images }) => images)).toEqual(epochs.map(() => 32));
  });

  it('resumes to the same bits, its copies too', async () => {
    const whole = await run();
    const store = memoryStore();
    const stop = new AbortController();
    const onEpoch = ({ epoch }: EpochMetrics) => void (epoch === 2 && stop.abort());
    const first = await run({ store, signal: stop.signal, onEpoch });
    expect(first.result).toMatchObject({ reason: 'interrupted', epochs: 3 });
    const [saved] = (await store.list()).slice(-1);
    const copies = await (await store.open(saved!.name)).read('copies');
    expect(Object.keys(copies)).toEqual(['old.mean.weight', 'slow.mean.weight']); // the reference never moves
    const values = Object.values(copies).map((value) => [...value.dataSync()]);
    expect(values[0]).not.toEqual([...first.result.trained['mean.weight']!.dataSync()]);
    tf.dispose(copies);
    const second = await run({ store });
    results.push(whole.result, first.result, second.result);
    expect(second.result.reason).toBe('finished');
    expect(bits(second.result)).toEqual(bits(whole.result));
  });

  it('copies bit for bit where nothing is kept', async () => {
    const store = memoryStore();
    const { result } = await run({ store, config: { ...base, contrast: { decay: 0 } } });
    results.push(result);
    const copies = await (await store.open('epoch 6')).read('copies');
    expect([...copies['old.mean.weight']!.dataSync()]).toEqual([
      ...result.trained['mean.weight']!.dataSync(),
    ]);
    tf.dispose(copies);
  });

  it('leaves no tensor', async () => {
    const before = tf.memory().numTensors;
    const { result } = await run({ store: memoryStore() });
    tf.dispose([result.trained, result.ema]);
    expect(tf.memory().numTensors - before).toBe(1); // the policy's own weights
  });

  it('has its options checked like the others, and compared when a run resumes', async () => {
    expect(() => resolveConfig({ contrast: { bta: 1 } }, contrast)).toThrow(/did you mean contrast.beta\?/);
    expect(() => resolveConfig({ contrast: { decay: 1 } }, contrast)).toThrow(/old policy never follows/);
    expect(() =>
      resolveConfig({ contrast: { timesPerImage: 4 }, training: { stepsPerPass: 3 } }, contrast),
    ).toThrow(/stepsPerPass \(3\) must divide the 4/);
    expect(() => resolveConfig({ contrast: {} })).toThrow(/contrast is not an option/);
    const store = memoryStore();
    results.push((await run({ store, config: { ...base, epochs: 1 } })).result);
    await expect(run({ store, config: { ...base, contrast: { beta: 2 } } })).rejects.toThrow(
      /another configuration \(contrast.beta: 1 → 2\)/,
    );
  });
});
