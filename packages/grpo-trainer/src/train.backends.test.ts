/** The trainer on tfjs's own backends: every algorithm trains as it does on the plain JavaScript one. */
import { createRequire } from 'node:module';
import { findWasm } from '@flow-grpo/test-support/wasm';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { algorithms } from './algorithms/registry';
import type { EpochMetrics } from './epoch-metrics';
import { gaussianFlow } from './policies/gaussian-flow';
import type { Policy } from './policy';
import { train } from './train';

const require = createRequire(import.meta.url);

/** How each backend is brought in; tfjs-node is a native module that not every machine has. */
const BACKENDS: Readonly<Record<string, () => Promise<unknown>>> = {
  wasm: async () => findWasm(),
  tensorflow: () => import(/* @vite-ignore */ require.resolve('@tensorflow/tfjs-node')),
};

const installed = (name: string) => {
  try {
    require.resolve(name);
    return true;
  } catch {
    return false;
  }
};

async function firstCoordinate(images: tf.Tensor4D): Promise<number[]> {
  const pixels = await images.data();
  return Array.from({ length: images.shape[0] }, (_, i) => pixels[3 * i]!);
}

/** The epochs of a short run, and how far each weight moved. */
async function run(backend: string, algorithm: keyof typeof algorithms, withFeatures: boolean) {
  expect(await tf.setBackend(backend)).toBe(true);
  const policy = gaussianFlow({ prompts: ['a', 'b'], mean: [0.2, 0.2], std: 0.2, withFeatures });
  const epochs: EpochMetrics[] = [];
  const { trained, ema } = await train({
    policy: policy as Policy,
    prompts: [{ prompt: 'a' }, { prompt: 'b' }],
    scorer: firstCoordinate,
    config: {
      epochs: 3,
      algorithm,
      sampling: { numSteps: 6, promptsPerEpoch: 2, samplesPerPrompt: 8, batchSize: 8 },
      training: { learningRate: 0.02, batchSize: 4, epsilon: 1e-3 },
      grpo: { beta: 0.01 },
      guard: { beta: 0.01 },
      dgpo: { truncSteps: 3 },
    },
    onEpoch: (metrics) => void epochs.push(metrics),
  });
  const weights = [...(await trained['mean.weight']!.data())];
  tf.dispose([trained, ema, policy.params]);
  return { epochs, weights };
}

const cases = Object.keys(algorithms).flatMap((name) =>
  [false, true].map((features) => [name as keyof typeof algorithms, features] as const),
);

for (const [backend, bring] of Object.entries(BACKENDS)) {
  const missing = backend === 'tensorflow' && !installed('@tensorflow/tfjs-node');
  describe.skipIf(missing)(
    `on ${backend}${missing ? ' (@tensorflow/tfjs-node is not installed)' : ''}`,
    () => {
      beforeAll(bring);
      afterAll(() => tf.setBackend('cpu'));

      it.each(cases)('%s trains as on cpu (features %s)', async (algorithm, features) => {
        const own = await run(backend, algorithm, features);
        const plain = await run('cpu', algorithm, features);
        for (const [i, metrics] of own.epochs.entries()) {
          for (const name of ['reward', 'loss', 'gradNorm']) {
            const [a, b] = [metrics[name]!, plain.epochs[i]![name]!];
            expect(Math.abs(a - b), `${name} of epoch ${i}`).toBeLessThan(1e-4 * Math.max(1, Math.abs(b)));
          }
          expect(metrics.gradNorm).toBeGreaterThan(0);
        }
        for (const [i, weight] of own.weights.entries()) {
          expect(Math.abs(weight - 0.2)).toBeGreaterThan(1e-3);
          expect(Math.abs(weight - plain.weights[i]!)).toBeLessThan(1e-4);
        }
      });
    },
  );
}
