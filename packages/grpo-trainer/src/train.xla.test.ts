import '@flow-grpo/tfjs-backend-xla';
import { cast, storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EpochMetrics } from './epoch-metrics';
import { gaussianFlow } from './policies/gaussian-flow';
import { train } from './train';

const scorer = {
  name: 'first coordinate',
  async score(images: tf.Tensor4D) {
    const pixels = await images.data();
    return { scores: Array.from({ length: images.shape[0] }, (_, i) => pixels[3 * i]!), details: {} };
  },
};

/** Its epochs, and how many tensors there were after each of them. */
async function run(backend: string): Promise<{ epochs: EpochMetrics[]; tensors: number[] }> {
  await tf.setBackend(backend);
  const policy = gaussianFlow({ prompts: ['a', 'b'], mean: [0.2, 0.2], std: 0.2, withFeatures: true });
  const epochs: EpochMetrics[] = [];
  const tensors: number[] = [];
  const result = await train({
    policy,
    prompts: [{ prompt: 'a' }, { prompt: 'b' }],
    scorer,
    config: {
      epochs: 4,
      sampling: { numSteps: 6, promptsPerEpoch: 2, samplesPerPrompt: 8, batchSize: 8 },
      training: { learningRate: 0.02, batchSize: 4 },
      grpo: { beta: 0.01 },
    },
    onEpoch: (metrics) => {
      epochs.push(metrics);
      tensors.push(tf.memory().numTensors);
    },
  });
  tf.dispose([result.trained, result.ema, policy.params]);
  return { epochs, tensors };
}

let available = true;
beforeAll(async () => {
  available = await tf.setBackend('xla').catch(() => false);
});
afterAll(() => tf.setBackend('cpu'));

it('trains compiled as it does eagerly', async () => {
  if (!available) throw new Error('no PJRT plugin is installed; run the set-up command');
  const { epochs: compiled, tensors } = await run('xla');
  const { epochs: eager } = await run('cpu');
  expect(tensors.slice(1)).toEqual(tensors.slice(1).fill(tensors[1]!)); // an epoch leaves none
  for (const [i, epoch] of compiled.entries()) {
    expect(epoch.maxRatioDeviation).toBeLessThan(1);
    for (const name of ['reward', 'loss', 'kl', 'gradNorm']) {
      expect(Math.abs(epoch[name]! - eager[i]![name]!), `${name} of epoch ${i}`).toBeLessThan(2e-4);
    }
  }
});

it('trains weights that are stored in bfloat16 through float32 masters', async () => {
  if (!available) throw new Error('no PJRT plugin is installed; run the set-up command');
  await tf.setBackend('xla');
  const flow = gaussianFlow({ prompts: ['a'], mean: [0.2, 0.2], std: 0.2 });
  const stored = cast(flow.params['mean.weight']!, 'bfloat16');
  const policy = { ...flow, params: { 'mean.weight': stored } };
  const step = 1e-5; // below bfloat16's resolution at 0.2, which is 1e-3
  const { trained, ema } = await train({
    policy,
    prompts: [{ prompt: 'a' }],
    scorer,
    config: {
      epochs: 3,
      sampling: { numSteps: 4, promptsPerEpoch: 1, samplesPerPrompt: 8 },
      training: { learningRate: step, updatesPerEpoch: 1 },
      grpo: { beta: 0.01 },
    },
  });
  expect(storageOf(stored)).toBe('bfloat16');
  expect(storageOf(trained['mean.weight']!)).toBe('float32');
  const [before] = await stored.data();
  const [after] = await trained['mean.weight']!.data();
  expect(Math.abs(after! - before!)).toBeGreaterThan(step);
  expect(Math.abs(after! - before!)).toBeLessThan(4 * step);
  tf.dispose([trained, ema, stored]);
});

it('says which options need less memory when a device has too little', async () => {
  if (!available) throw new Error('no PJRT plugin is installed; run the set-up command');
  await tf.setBackend('xla');
  const flow = gaussianFlow({ prompts: ['a'], mean: [0.2, 0.2], std: 0.2 });
  const side = 2 ** 21; // 16 TiB a sort
  const huge = (x: tf.Tensor) => {
    const row = tf.mul(tf.range(0, side), tf.mean(x));
    return tf.mean(tf.topk(tf.add(tf.reshape(row, [side, 1]), row), 2).values);
  };
  const prompts = [{ prompt: 'a' }];
  const config = { sampling: { numSteps: 4, promptsPerEpoch: 1, samplesPerPrompt: 8 } };
  const decode: typeof flow.decode = (latents) => tf.add(flow.decode(latents), huge(latents));
  const small = { ...config, sampling: { ...config.sampling, batchSize: 4 } };
  await expect(train({ policy: { ...flow, decode }, prompts, scorer, config: small })).rejects.toThrow(
    /decode[\s\S]*asked for .* TiB[\s\S]*To use less memory, set a lower sampling\.batchSize$/,
  );
  const velocity: typeof flow.velocity = (call) => {
    const made = flow.velocity(call);
    return call.purpose === 'training' ? { ...made, velocity: tf.add(made.velocity, huge(call.x)) } : made;
  };
  // One update and no watch, so that nothing is measured before it.
  const off = { action: 'off' } as const;
  const once = { ...config, training: { updatesPerEpoch: 1 }, divergence: off, hacking: off };
  await expect(train({ policy: { ...flow, velocity }, prompts, scorer, config: once })).rejects.toThrow(
    /gradientPass[\s\S]*a lower training\.batchSize or training\.stepsPerPass$/,
  );
  tf.dispose(flow.params);
});
