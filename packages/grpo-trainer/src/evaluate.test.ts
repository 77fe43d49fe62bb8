import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { resolveConfig } from './config/resolve';
import { createEvaluator } from './evaluate';
import { gaussianFlow } from './policies/gaussian-flow';

const PROMPTS = ['a', 'b', 'c'];
const flow = gaussianFlow({ prompts: PROMPTS, mean: [0.2, 0.2], std: 0.02 });
const weights = {
  'mean.weight': tf.tensor2d([
    [0, 0],
    [1, 1],
    [2, 2],
  ]),
};
const firstCoordinate = async (images: tf.Tensor4D) => (await images.data()).filter((_, i) => i % 3 === 0);

/** Scores of a list of prompts, and what `encodePrompts` was asked for. */
async function evaluated(prompts: readonly string[], evalBatchSize: number) {
  const asked: string[][] = [];
  const policy: typeof flow = {
    ...flow,
    encodePrompts: (given) => {
      asked.push([...given]);
      return flow.encodePrompts(given);
    },
  };
  const examples = prompts.map((prompt) => ({ prompt }));
  const evaluate = createEvaluator(policy, firstCoordinate, examples, resolveConfig({ evalBatchSize }));
  const { scores } = await evaluate(weights, 0);
  return { scores, asked };
}

it.each([
  ['each prompt once', ['a', 'b', 'c'], 2],
  ['one prompt many times', ['b', 'b', 'b', 'b', 'b'], 2],
  ['repeats within and across batches', ['a', 'a', 'c', 'b', 'b', 'a', 'c'], 3],
] as const)('encodes distinct prompts, as many in each batch: %s', async (_, prompts, batchSize) => {
  const { scores, asked } = await evaluated(prompts, batchSize);
  for (const batch of asked) expect(new Set(batch).size).toBe(batch.length);
  expect(new Set(asked.map(({ length }) => length)).size).toBe(1);
  // Every image is that of its prompt: the means lie 1 apart, and the images close to them.
  const { scores: one } = await evaluated(prompts, prompts.length);
  for (const [i, prompt] of prompts.entries()) {
    expect(Math.abs(Math.round(scores[i]!))).toBe(PROMPTS.indexOf(prompt));
    expect(scores[i]).toBeCloseTo(one[i]!, 5);
  }
});
