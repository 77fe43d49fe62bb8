/**
 * Show-o2 with adapters and whole, from prompts to an update, on every backend as on plain JavaScript: sampler, layers, model and
 * trainer.
 */
import { type EpochMetrics, loraPolicy, type Policy, train } from '@flow-grpo/grpo-trainer';
import { startBackend } from '@flow-grpo/rewards/backend';
import { showo2Policy } from '@flow-grpo/showo2-model/policy';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { brightness, tinyShowo2 } from '../../../showo2-model/src/testing/tiny-policy';
import { adaptedWeightsOf } from './lora';
import { ADAPTED_LAYERS } from './showo2';

const LORA = { rank: 2, alpha: 4 } as const;
const PROMPTS = ['red', 'blue'].map((prompt) => ({ prompt }));

/** tfjs-node is no dependency of this repository: its binary is downloaded by an install script. */
const tensorflow = await import('@tensorflow/tfjs-node' as string).then(
  () => true,
  () => false,
);

async function run(backend: string, algorithm: 'grpo' | 'nft', what: 'adapters' | 'all weights') {
  await startBackend(backend);
  const before = tf.memory().numTensors;
  const options = tinyShowo2({ layers: 2 });
  const plain = showo2Policy({
    ...options,
    guidanceScale: 2,
    stackLayers: true,
    train: what === 'adapters' ? adaptedWeightsOf(options.params, LORA, ADAPTED_LAYERS) : ['*'],
  });
  const policy: Policy = what === 'adapters' ? loraPolicy(plain, { ...LORA, seed: 4 }) : plain;
  const epochs: EpochMetrics[] = [];
  const evaluations: number[] = [];
  const { trained, ema } = await train({
    policy,
    scorer: brightness,
    prompts: PROMPTS,
    evalPrompts: PROMPTS,
    config: {
      ...{ epochs: 2, algorithm },
      sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 3 },
      training: { learningRate: what === 'adapters' ? 1e-2 : 1e-4, epsilon: 1e-3 },
      // With one algorithm the watches' functions run on every backend, too.
      ...(algorithm !== 'grpo' && { divergence: { action: 'off' }, hacking: { action: 'off' } }),
    },
    onEpoch: (one) => void epochs.push(one),
    onEvaluation: ({ reward }) => void evaluations.push(reward),
  });
  const moved = Object.values(trained).map((value) => tf.tidy(() => tf.max(tf.abs(value)).dataSync()[0]!));
  tf.dispose([trained, ema, options.params, plain.params, policy.params]);
  expect(tf.memory().numTensors).toBe(before);
  return { epochs, evaluations, moved };
}

// In tests tfjs takes what a custom gradient saves on wasm for a leak; what is left at the end is counted below.
beforeAll(() => tf.env().set('IS_TEST', false));
afterAll(async () => {
  tf.env().set('IS_TEST', true);
  await tf.setBackend('cpu');
});

describe.each([
  ['grpo', 'adapters'],
  ['nft', 'adapters'],
  ['nft', 'all weights'],
] as const)('%s, %s', (algorithm, what) => {
  let plain: Awaited<ReturnType<typeof run>>;
  beforeAll(async () => {
    plain = await run('cpu', algorithm, what);
  });
  it.each(['wasm', 'xla', ...(tensorflow ? ['tensorflow'] : [])])(
    'trains on %s as on cpu',
    async (backend) => {
      const own = await run(backend, algorithm, what);
      const close = (a: number, b: number, what: string) =>
        expect(Math.abs(a - b), what).toBeLessThan(2e-3 * Math.max(1, Math.abs(b)));
      for (const [i, metrics] of own.epochs.entries())
        for (const name of ['reward', 'loss', 'gradNorm'])
          close(metrics[name]!, plain.epochs[i]![name]!, name);
      for (const [i, reward] of own.evaluations.entries()) close(reward, plain.evaluations[i]!, 'evaluation');
      for (const [i, largest] of own.moved.entries()) close(largest, plain.moved[i]!, 'weights');
      expect(own.epochs[1]!.gradNorm).toBeGreaterThan(0);
    },
  );
});
