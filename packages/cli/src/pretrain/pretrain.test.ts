import '@flow-grpo/tfjs-backend-xla';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Params } from '@flow-grpo/grpo-trainer';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { type FlowMatchingOptions, flowMatchingLoss, pretrain } from './flow-matching';
import { trainVae } from './vae';

const MEAN = [1.5, -0.5];

/** v = w₀ + w₁·x + w₂·t, enough for a constant shift. */
const affine = (params: Params, x: tf.Tensor, t: tf.Tensor) =>
  tf.add(params.shift!, tf.add(tf.mul(params.slope!, x), tf.mul(params.time!, tf.reshape(t, [-1, 1]))));
/** Not in the order of the alphabet, in which files list them. */
const start = (): Params => ({ time: tf.zeros([2]), slope: tf.zeros([1]), shift: tf.zeros([2]) });
const batchAt = (step: number) => ({
  latents: tf.add(tf.mul(0.3, random.normal(random.key(1000 + step), [64, 2])), MEAN),
  condition: null,
});

describe('flow matching', () => {
  let folder = '';
  const options = (): FlowMatchingOptions => ({
    ...{ steps: 4, learningRate: 0.05, warmupSteps: 1, checkpoint: folder },
    fingerprint: { 'setup.module': 'a' },
  });
  const resumed = (more: Partial<FlowMatchingOptions>, params = start()) =>
    pretrain(params, affine, batchAt, { ...options(), ...more });
  const without = (name: string): Params =>
    Object.fromEntries(Object.entries(start()).filter(([each]) => each !== name));

  it('learns a velocity whose mean carries noise to the data', async () => {
    const { ema, trained } = await pretrain(start(), affine, batchAt, { steps: 300, learningRate: 0.05 });
    const x = random.normal(random.key(5), [4096, 2]);
    const v = affine(ema, x, tf.zeros([4096]));
    const mean = tf.mean(v, 0).dataSync();
    expect(mean[0]).toBeCloseTo(MEAN[0]!, 1);
    expect(mean[1]).toBeCloseTo(MEAN[1]!, 1);
    tf.dispose([trained, ema]);
  });

  it('is 0 for the exact velocity of one point', () => {
    const point = tf.tensor2d([[2, 3]]);
    // Between any noise and one data point, v = (data − x) / (1 − t).
    const exact = (x: tf.Tensor, t: tf.Tensor) => tf.div(tf.sub(point, x), tf.reshape(tf.sub(1, t), [-1, 1]));
    expect(flowMatchingLoss(exact, point, random.key(3)).dataSync()[0]).toBeLessThan(1e-9);
  });

  it('ends with the same bits when it was interrupted and resumed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fit-'));
    try {
      const options = { steps: 30, learningRate: 0.05, reportEvery: 5 };
      const whole = await pretrain(start(), affine, batchAt, options);
      const stop = new AbortController();
      const interrupted = await pretrain(start(), affine, batchAt, {
        ...options,
        checkpoint: folder,
        signal: stop.signal,
        onReport: ({ step }) => void (step === 10 && stop.abort()),
      });
      expect(interrupted.reason).toBe('interrupted');
      const resumed = await pretrain(start(), affine, batchAt, { ...options, checkpoint: folder });
      for (const name of Object.keys(whole.ema)) {
        expect(resumed.trained[name]!.dataSync()).toEqual(whole.trained[name]!.dataSync());
        expect(resumed.ema[name]!.dataSync()).toEqual(whole.ema[name]!.dataSync());
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.each([
    '',
    '{"step": 3',
    'null',
    '{"step": -1, "file": "step--1.safetensors"}',
    '{"step": 1, "file": "../x"}',
  ])('does not begin anew over a damaged pointer: %j', async (text) => {
    const folder = await mkdtemp(join(tmpdir(), 'fit-'));
    try {
      await writeFile(join(folder, 'current.json'), text);
      const fitting = pretrain(start(), affine, batchAt, { steps: 1, checkpoint: folder });
      await expect(fitting).rejects.toThrow(/current\.json is damaged.*start over/);
      expect(await readdir(folder)).toEqual(['current.json']);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  const wide = (): Params => ({ ...start(), shift: tf.zeros([1]) });
  it.each<[string, () => Promise<unknown>, RegExp]>([
    ['another seed', () => resumed({ seed: 1 }), /seed: 0 → 1\).*--allow-changed seed/],
    ['another learning rate', () => resumed({ learningRate: 0.1 }), /learningRate: 0\.05 → 0\.1\)/],
    ['another optimizer', () => resumed({ adamW: { beta1: 0.5 } }), /adamW: .*0\.9.* → .*0\.5/],
    ['more steps of a schedule that ends', () => resumed({ steps: 8 }), /steps: 4 → 8/],
    ['other times', () => resumed({ times: 'logit-normal' }), /times: uniform → logit-normal/],
    ['another setup', () => resumed({ fingerprint: { 'setup.module': 'b' } }), /setup\.module: a → b/],
    ['weights of another shape', () => resumed({}, wide()), /trained\.shift as \[2\], now \[1\]/],
    ['a weight more', () => resumed({}, { ...start(), bias: tf.zeros([2]) }), /has no trained\.bias/],
    ['a weight less', () => resumed({}, without('time')), /holds \w+\.time, which is not trained now/],
  ])('does not resume with %s in silence', async (_, resume, message) => {
    folder = await mkdtemp(join(tmpdir(), 'fit-'));
    try {
      const made = await pretrain(start(), affine, batchAt, options());
      tf.dispose([made.trained, made.ema]);
      const before = await readdir(folder);
      await expect(resume()).rejects.toThrow(message);
      expect(await readdir(folder)).toEqual(before);
      const again = await resumed({});
      tf.dispose([again.trained, again.ema]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('resumes with what is allowed to differ', async () => {
    folder = await mkdtemp(join(tmpdir(), 'fit-'));
    try {
      const made = await pretrain(start(), affine, batchAt, options());
      const again = await resumed({
        steps: 6,
        fingerprint: { 'setup.module': 'b' },
        allowChanged: ['steps', 'setup'],
      });
      expect(again.steps).toBe(6);
      tf.dispose([made.trained, made.ema, again.trained, again.ema]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('writes nothing once it is told that the folder is somebody else’s', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fit-'));
    try {
      const beforeSave = async () => {
        throw new Error('taken over');
      };
      const fitting = pretrain(start(), affine, batchAt, { steps: 2, checkpoint: folder, beforeSave });
      await expect(fitting).rejects.toThrow('taken over');
      expect(await readdir(folder)).toEqual([]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('names the learning rate when the loss is not finite', async () => {
    await expect(
      pretrain(start(), (p, x, t) => tf.mul(affine(p, x, t), Number.NaN), batchAt, { steps: 2 }),
    ).rejects.toThrow(/loss is NaN.*learning rate/);
  });
});

it('trains an autoencoder to reconstruct', async () => {
  const weight = (key: number, shape: number[]) => tf.mul(0.3, random.normal(random.key(key), shape));
  const params = {
    mean: weight(1, [3, 4]),
    variance: weight(2, [3, 4]),
    out: weight(3, [4, 3]),
  };
  const places = (x: tf.Tensor) => tf.reshape(x, [-1, x.shape.at(-1)!]) as tf.Tensor2D;
  const mix = (x: tf.Tensor, w: tf.Tensor) =>
    tf.reshape(tf.matMul(places(x), w as tf.Tensor2D), [...x.shape.slice(0, -1), w.shape[1]!]);
  const losses: number[] = [];
  const { trained } = await trainVae(
    params,
    {
      encode: (p, x) => ({ mean: mix(x, p.mean!), logVariance: tf.sub(mix(x, p.variance!), 6) }),
      decode: (p, z) => mix(z, p.out!),
    },
    (step) => random.uniform(random.key(step), [8, 4, 4, 3]),
    { steps: 200, learningRate: 0.02, reportEvery: 20, onReport: ({ loss }) => void losses.push(loss) },
  );
  expect(losses.at(-1)).toBeLessThan(0.2 * losses[0]!);
  tf.dispose(trained);
});
