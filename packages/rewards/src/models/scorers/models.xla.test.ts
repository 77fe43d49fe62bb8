import '@flow-grpo/tfjs-backend-xla';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectClose } from '@flow-grpo/test-support';
import { deviceInfo } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelDtype } from '../load/source';
import { aesthetic } from './aesthetic';
import type { ModelScorer } from './batches';
import { clipScore, pickScore } from './clip-score';
import { hpsv2 } from './hpsv2';
import { imageReward } from './image-reward';
import { writeTinyBlip, writeTinyClip, writeTinyHead, writeTinyHps } from './tiny-models.testing';

const prompts = ['a cat', 'dog', 'some longer prompt'];
const metadata = [{}, {}, {}];
const pixels = Float32Array.from({ length: 3 * 40 * 37 * 3 }, (_, i) => ((i * 7919) % 251) / 250);
const root = mkdtempSync(join(tmpdir(), 'tiny-xla-'));

beforeAll(() => tf.setBackend('cpu'));
afterAll(async () => {
  await tf.setBackend('cpu');
  rmSync(root, { recursive: true });
});

const onCpu = () => deviceInfo()[0]!.platform === 'cpu';

type Make = (dtype?: ModelDtype) => Promise<ModelScorer>;

async function scoresOn(backend: 'cpu' | 'xla', make: Make, dtype?: ModelDtype): Promise<number[]> {
  expect(await tf.setBackend(backend), 'a PJRT plugin is installed').toBe(true);
  const before = tf.memory().numTensors;
  const scorer = await make(dtype);
  const images = tf.tensor4d(pixels, [3, 40, 37, 3]);
  const { scores } = await scorer.score(images, prompts, metadata);
  scorer.dispose();
  images.dispose();
  expect(tf.memory().numTensors, `tensors left on ${backend}`).toBe(before);
  await tf.setBackend('cpu');
  return scores;
}

/** The same scores on XLA as on the cpu backend; in bfloat16 near them, yet not them. */
async function compare(make: Make, limits: Record<ModelDtype, number>): Promise<void> {
  const expected = await scoresOn('cpu', make);
  const wide = await scoresOn('xla', make, 'float32');
  expectClose(wide, expected, limits.float32, 'float32');
  const narrow = await scoresOn('xla', make, 'bfloat16');
  expectClose(narrow, expected, limits.bfloat16, 'bfloat16');
  expect(narrow, 'bfloat16 takes part').not.toEqual(wide);
  const byDefault = await scoresOn('xla', make);
  expect(byDefault, 'float32 on CPUs, bfloat16 elsewhere').toEqual(onCpu() ? wide : narrow);
}

describe('model rewards compiled by XLA give the scores of the cpu backend', () => {
  const folder = () => mkdtempSync(join(root, 'model-'));

  it('pickScore and clipScore', async () => {
    const model = folder();
    await writeTinyClip(model);
    await compare((dtype) => pickScore({ model, dtype }), { float32: 1e-5, bfloat16: 0.04 });
    await compare((dtype) => clipScore({ model, dtype }), { float32: 1e-5, bfloat16: 0.04 });
  });

  it('aesthetic', async () => {
    const model = folder();
    const { config } = await writeTinyClip(model);
    const head = join(model, 'head.safetensors');
    await writeTinyHead(head, config.projection_dim);
    await compare((dtype) => aesthetic({ model, head, dtype }), { float32: 1e-5, bfloat16: 0.04 });
  });

  it('hpsv2', async () => {
    const model = folder();
    const config = await writeTinyHps(model);
    const make: Make = (dtype) => hpsv2({ model, processor: model, config, dtype });
    await compare(make, { float32: 1e-5, bfloat16: 0.04 });
  });

  it('imageReward', async () => {
    const model = folder();
    const config = await writeTinyBlip(model);
    const make: Make = (dtype) => imageReward({ model, processor: model, config, dtype });
    await compare(make, { float32: 1e-4, bfloat16: 0.25 });
  });
});
