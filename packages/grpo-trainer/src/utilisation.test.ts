import '@flow-grpo/tfjs-backend-xla';
import { deviceInfo } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EpochMetrics } from './epoch-metrics';
import type { Policy } from './policy';
import { train } from './train';
import { peakTflopsOf } from './utilisation';

describe('peakTflopsOf', () => {
  it.each([
    ['NVIDIA H200', 989],
    ['NVIDIA H100 80GB HBM3', 989],
    ['NVIDIA H100 PCIe', 756],
    ['NVIDIA A100-SXM4-80GB', 312],
    ['NVIDIA L4', 121],
    ['NVIDIA L40S', 362],
    ['NVIDIA A10G', 125],
    ['cpu', undefined],
    ['NVIDIA GeForce GTX 1080', undefined],
  ])('%s', (kind, peak) => expect(peakTflopsOf(kind)).toBe(peak));
});

const WIDTH = 128;
const STEPS = 4;
const SAMPLES = 64;
const TRAINED = 2;

/** A velocity that is one product of known size, beside which everything else is small. */
const product: Policy = {
  params: {},
  trainable: ['weight'],
  latentShape: [WIDTH],
  encodePrompts: () => ({}),
  velocity: ({ trained: { weight }, x }) => ({
    velocity: tf.matMul(x as tf.Tensor2D, weight as tf.Tensor2D),
  }),
  decode: (latents) => tf.reshape(tf.slice(latents, [0, 0], [-1, 3]), [-1, 1, 1, 3]) as tf.Tensor4D,
};

async function epoch(peakTflops?: number): Promise<EpochMetrics> {
  const policy = { ...product, params: { weight: tf.mul(0.01, tf.eye(WIDTH)) } };
  let metrics: EpochMetrics | undefined;
  const result = await train({
    policy,
    prompts: [{ prompt: '' }],
    scorer: {
      name: 'first number',
      score: async (images) => ({
        scores: Array.from(await images.data()).filter((_, i) => i % 3 === 0),
        details: {},
      }),
    },
    config: {
      epochs: 1,
      sampling: {
        numSteps: STEPS,
        promptsPerEpoch: 1,
        samplesPerPrompt: SAMPLES,
        batchSize: SAMPLES / 2,
        window: { start: 1, end: 1 + TRAINED },
      },
      training: { updatesPerEpoch: 1, batchSize: SAMPLES / 4 },
    },
    peakTflops,
    onEpoch: (one) => {
      metrics = one;
    },
  });
  tf.dispose([result.trained, result.ema, policy.params]);
  return metrics!;
}

describe('utilisation of an epoch', () => {
  let available = true;
  beforeAll(async () => {
    available = await tf.setBackend('xla').catch(() => false);
  });
  afterAll(() => tf.setBackend('cpu'));

  it('is what its programs compute over its time, by the peak', async () => {
    if (!available) throw new Error('no PJRT plugin is installed; run the set-up command');
    const peak = 0.001;
    const { tflops, mfu, seconds } = await epoch(peak);
    const forward = 2 * SAMPLES * WIDTH ** 2;
    // The rollout, and in the update the product and its gradient by the weight.
    const expected = forward * (STEPS + 2 * TRAINED);
    expect((tflops! * 1e12 * seconds!) / expected).toBeGreaterThan(1);
    expect((tflops! * 1e12 * seconds!) / expected).toBeLessThan(1.25);
    expect(mfu! * peak).toBeCloseTo(tflops!, 12);
  });

  it('is left out where the peak is not known, or nothing is compiled', async () => {
    const { mfu, tflops } = await epoch();
    if (deviceInfo()[0]!.platform === 'cpu') expect(mfu).toBeUndefined();
    expect(tflops).toBeGreaterThan(0);
    await tf.setBackend('cpu');
    expect(await epoch()).not.toHaveProperty('tflops');
  });
});
