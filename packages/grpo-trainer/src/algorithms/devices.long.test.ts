import { configure } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { GrpoConfigInput } from '../config/schema';
import { gaussianFlow } from '../policies/gaussian-flow';
import { train } from '../train';

beforeAll(async () => {
  configure({ devices: 4 });
  expect(await tf.setBackend('xla')).toBe(true);
});
afterAll(() => tf.setBackend('cpu'));

const PROMPTS = ['red', 'green', 'blue', 'white'];

/** Two epochs; weights, average and losses. */
async function run(
  algorithm: GrpoConfigInput['algorithm'],
  updatesPerEpoch: number,
  placed: Pick<GrpoConfigInput, 'devices' | 'shardParameters' | 'shardDevices'>,
) {
  const policy = gaussianFlow({ prompts: PROMPTS, mean: [0.2, 0.2], std: 0.2 });
  const losses: number[] = [];
  const { trained, ema } = await train({
    policy,
    prompts: PROMPTS.map((prompt) => ({ prompt })),
    scorer: async (images: tf.Tensor4D) => {
      const pixels = await images.data();
      return Array.from({ length: images.shape[0] }, (_, i) => pixels[3 * i]!);
    },
    config: {
      ...{ epochs: 2, evalEvery: 1000, saveEvery: 1000, algorithm, ...placed },
      sampling: { numSteps: 4, shift: 1, promptsPerEpoch: 4, samplesPerPrompt: 4, batchSize: 8 },
      // Adam divides by epsilon where gradients are tiny, and magnifies rounding.
      training: { learningRate: 0.02, epsilon: 1e-3, stepsPerPass: 1, updatesPerEpoch },
      dgpo: { truncSteps: 3, betaDpo: 4, timesPerImage: 2 },
      nft: { decayType: '0-0.5-0-0.5', timesPerImage: 2 },
      awm: { timesPerImage: 2, timestepFraction: 1 },
      crd: { samplingModelDecay: '0-0.5-0-0.5', timesPerImage: 2 },
      // Their programs are not the algorithms'.
      divergence: { action: 'off' },
      hacking: { action: 'off' },
    },
    onEpoch: ({ loss }) => void losses.push(loss!),
  });
  const values: number[] = [...losses];
  for (const value of Object.values({ ...trained, ...ema })) values.push(...(await value.data()));
  tf.dispose([trained, ema]);
  return values;
}

const PLACEMENTS: Parameters<typeof run>[2][] = [
  { devices: 4 },
  { devices: 4, shardParameters: true, shardDevices: 2 },
  { devices: 2 },
  { devices: 2, shardParameters: true },
];

// Passes hold whole groups, one for each device at least: with one update none is padding.
it.each([
  ['nft', 2],
  ['awm', 2],
  ['dgpo', 1],
  ['crd', 1],
  ['flow-dppo', 2],
  ['dpo', 1],
  ['sft', 1],
  ['rwr', 2],
  ['grpo', 2],
  ['guard', 2],
] as const)(
  '%s: several devices give what one gives, weights split over them or not',
  async (algorithm, updates) => {
    const one = await run(algorithm, updates, { devices: 1 });
    for (const placed of PLACEMENTS) {
      const several = await run(algorithm, updates, placed);
      expect(several).toHaveLength(one.length);
      for (const [i, value] of several.entries()) expect(Math.abs(value - one[i]!)).toBeLessThan(1e-5);
    }
  },
);
