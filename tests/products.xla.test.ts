/** A model held in bfloat16 is multiplied in bfloat16 throughout an epoch, whatever of it trains, in float32. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loraPolicy, type Policy, planEpoch, resolveConfig } from '@flow-grpo/grpo-trainer';
import { castParams } from '@flow-grpo/nn';
import { showo2Policy } from '@flow-grpo/showo2-model/policy';
import { productTypes } from '@flow-grpo/test-support/product-types';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { zImagePolicy } from '@flow-grpo/z-image-model/policy';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { tinyShowo2 } from '../packages/showo2-model/src/testing/tiny-policy';
import { tinyParts } from '../packages/z-image-model/test/tiny';

const folder = mkdtempSync(join(tmpdir(), 'products-'));
beforeAll(async () => {
  configure({ dumpPrograms: folder });
  expect(await tf.setBackend('xla')).toBe(true);
});
afterAll(async () => {
  await tf.setBackend('cpu');
  rmSync(folder, { recursive: true });
});

function showo2(train?: readonly (string | RegExp)[]): Policy {
  const { params, ...options } = tinyShowo2();
  return showo2Policy({
    ...options,
    params: castParams(params, 'bfloat16'),
    guidanceScale: 3,
    stackLayers: true,
    ...(train && { train }),
  }) as Policy;
}

function zImage(): Policy {
  const { transformer } = tinyParts();
  return zImagePolicy({
    config: transformer.config,
    params: castParams(transformer.params, 'bfloat16'),
    encodePrompts: ({ length }) => ({
      states: tf.zeros([length, 32, transformer.config.captionDim]),
      lengths: tf.fill([length], 7, 'int32'),
    }),
    decode: (latents) => tf.slice(latents as tf.Tensor4D, [0, 0, 0, 0], [-1, -1, -1, 3]),
    latentShape: [4, 4, 4],
    guidanceScale: 2,
  }) as Policy;
}

const adapters = (policy: Policy): Policy => loraPolicy(policy, { rank: 2, alpha: 4 }) as Policy;
const HEAD = [/^diffusion_head_a.*_proj\.weight$/];
const EVERYWHERE = [...HEAD, /^showo\.model\.layers.*_proj\.weight$/];

it.each([
  ['the head', 'grpo', () => showo2()],
  ['all weights', 'grpo', () => showo2(['all'])],
  ['adapters of the head', 'grpo', () => adapters(showo2(HEAD))],
  ['adapters of the head, with copies', 'nft', () => adapters(showo2(HEAD))],
  ['adapters everywhere', 'grpo', () => adapters(showo2(EVERYWHERE))],
  ['adapters of Z-Image', 'nft', () => adapters(zImage())],
] as const)('%s', async (_, algorithm, make) => {
  for (const file of readdirSync(folder)) rmSync(join(folder, file));
  const config = resolveConfig({
    algorithm,
    epochs: 1,
    sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4, batchSize: 4 },
    training: { batchSize: 4, updatesPerEpoch: 2 },
  });
  await planEpoch(make, config);
  const texts = readdirSync(folder).map((file) => ({ file, text: readFileSync(join(folder, file), 'utf8') }));
  const products = texts.flatMap(({ file, text }) => productTypes(text).map((types) => ({ file, types })));
  expect(products.length).toBeGreaterThan(1);
  expect(products.filter(({ types }) => types !== 'bf16 × bf16')).toEqual([]);
});
