import { configure } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gaussianFlow } from './policies/gaussian-flow';
import { train } from './train';

const scorer = {
  name: 'first coordinate',
  async score(images: tf.Tensor4D) {
    const pixels = await images.data();
    return { scores: Array.from({ length: images.shape[0] }, (_, i) => pixels[3 * i]!), details: {} };
  },
};

let available = true;
beforeAll(async () => {
  configure({ cpuDevices: 4 });
  available = await tf.setBackend('xla').catch(() => false);
});
afterAll(() => tf.setBackend('cpu'));

async function fiveSteps(devices: number, withFeatures: boolean) {
  const policy = gaussianFlow({ prompts: ['a', 'b'], mean: [0.2, 0.2], std: 0.2, withFeatures });
  const losses: number[] = [];
  const { trained, ema, updates } = await train({
    policy,
    prompts: [{ prompt: 'a' }, { prompt: 'b' }],
    scorer,
    config: {
      epochs: 5,
      devices,
      sampling: { numSteps: 6, promptsPerEpoch: 2, samplesPerPrompt: 8, batchSize: 8 },
      training: { learningRate: 0.02, clipRange: 0.2, beta: 0.01, updatesPerEpoch: 1, batchSize: 8 },
    },
    onEpoch: (metrics) => void losses.push(metrics.loss!),
  });
  expect(updates).toBe(5);
  const weights = Array.from(await trained['mean.weight']!.data());
  tf.dispose([trained, ema]);
  return [...weights, ...losses];
}

it.each([false, true])('2 and 4 devices give what one gives (features %s)', async (withFeatures) => {
  if (!available) throw new Error('no PJRT plugin is installed; run the set-up command');
  const one = await fiveSteps(1, withFeatures);
  for (const devices of [2, 4]) {
    const several = await fiveSteps(devices, withFeatures);
    for (const [i, value] of one.entries()) expect(Math.abs(several[i]! - value)).toBeLessThan(1e-5);
  }
});
