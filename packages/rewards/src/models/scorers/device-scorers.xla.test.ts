import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectClose } from '@flow-grpo/test-support';
import { compilationStats, configure, observeExecutions } from '@flow-grpo/tfjs-backend-xla';
import { mesh, shard } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodePng, rgbImages } from '../../images';
import { aesthetic } from './aesthetic';
import type { BatchOptions, ModelScorer } from './batches';
import { clipScore, pickScore } from './clip-score';
import { hpsv2 } from './hpsv2';
import { imageReward } from './image-reward';
import { writeTinyBlip, writeTinyClip, writeTinyHead, writeTinyHps } from './tiny-models.testing';

const root = mkdtempSync(join(tmpdir(), 'tiny-device-'));
const clip = join(root, 'clip');
const head = join(clip, 'head.safetensors');
let hps: Parameters<typeof hpsv2>[0];
let blip: Parameters<typeof imageReward>[0];

beforeAll(async () => {
  configure({ devices: 2 });
  await tf.setBackend('cpu');
  const folder = () => mkdtempSync(join(root, 'model-'));
  mkdirSync(clip);
  const { config } = await writeTinyClip(clip);
  await writeTinyHead(head, config.projection_dim);
  const [hpsFolder, blipFolder] = [folder(), folder()];
  hps = { model: hpsFolder, processor: hpsFolder, config: await writeTinyHps(hpsFolder) };
  blip = { model: blipFolder, processor: blipFolder, config: await writeTinyBlip(blipFolder) };
  expect(await tf.setBackend('xla'), 'a PJRT plugin is installed').toBe(true);
});
afterAll(async () => {
  await tf.setBackend('cpu');
  rmSync(root, { recursive: true });
});

const prompts = ['a cat', 'dog', 'some longer prompt', '', 'a cat'];
const metadata = prompts.map(() => ({}));

const dtype = 'float32';
const makers: Record<string, (options?: BatchOptions) => Promise<ModelScorer>> = {
  pickScore: (options) => pickScore({ model: clip, dtype, ...options }),
  clipScore: (options) => clipScore({ model: clip, dtype, ...options }),
  aesthetic: (options) => aesthetic({ model: clip, head, dtype, ...options }),
  hpsv2: (options) => hpsv2({ ...hps, dtype, ...options }),
  'hpsv2, pillow': (options) => hpsv2({ ...hps, resize: 'pillow', dtype, ...options }),
  imageReward: (options) => imageReward({ ...blip, dtype, ...options }),
};

const noise = (count: number, seed = 3) =>
  tf.randomUniform([count, 40, 37, 3], 0, 1, 'float32', seed) as tf.Tensor4D;

/** The same bytes as files, which are preprocessed on the host. */
const asFiles = async (images: tf.Tensor4D) =>
  Promise.all((await rgbImages(images)).map(async (image) => ({ bytes: await encodePng(image) })));

/** What XLA runs while `f` runs. */
async function programsOf(f: () => Promise<unknown>): Promise<string[]> {
  const names: string[] = [];
  const stop = observeExecutions(({ name }) => names.push(name));
  await f();
  stop();
  return names;
}

const programs = () => {
  const { compiled, loadedFromDisk } = compilationStats();
  return compiled + loadedFromDisk;
};

describe.each(Object.entries(makers))('%s of a tensor on the device', (_, make) => {
  it('is the score of the same bytes by way of the host, whatever the batches, and leaves no tensor', async () => {
    const images = noise(5);
    const files = await asFiles(images);
    const before = tf.memory().numTensors;
    const scorer = await make();
    const expected = await scorer.score(files, prompts, metadata);
    const whole = await scorer.score(images, prompts, metadata);
    scorer.dispose();
    const split = await make({ batchSize: 2 });
    const parts = await split.score(images, prompts, metadata);
    const partsOfFiles = await split.score(files, prompts, metadata);
    split.dispose();
    expect(tf.memory().numTensors).toBe(before);
    for (const got of [whole, parts, partsOfFiles]) {
      expectClose(got.scores, expected.scores, 1e-5, 'scores');
      expect(Object.keys(got.details)).toEqual(Object.keys(expected.details));
      for (const [part, values] of Object.entries(expected.details)) {
        expectClose(got.details[part]!, values, 1e-5, part);
      }
    }
    images.dispose();
  });
});

describe('pickScore of tensors on the device', () => {
  it('is one program, compiled once for batches of one size', async () => {
    const scorer = await makers.pickScore!({ batchSize: 3 });
    const score = (count: number, seed: number) => {
      const images = noise(count, seed);
      return scorer
        .score(images, prompts.slice(0, count), metadata.slice(0, count))
        .finally(() => images.dispose());
    };
    await score(3, 1);
    const before = programs();
    const images = noise(3, 2);
    const ran = await programsOf(() => scorer.score(images, prompts.slice(0, 3), metadata.slice(0, 3)));
    expect(ran).toEqual(['pickScore']);
    expect(programs()).toBe(before);
    images.dispose();
    // Five images are two batches of three that share a row: only taking rows is new.
    await score(5, 3);
    expect(programs() - before).toBe(1);
    await score(5, 4);
    await score(3, 5);
    expect(programs() - before).toBe(1);
    scorer.dispose();
  });

  it('takes images that are spread over devices, and leaves no tensor', async () => {
    const images = noise(2);
    const spread = shard(images, mesh({ data: 2 }), ['data']);
    const before = tf.memory().numTensors;
    const scorer = await makers.pickScore!();
    const one = await scorer.score(images, prompts.slice(0, 2), metadata.slice(0, 2));
    const two = await scorer.score(spread, prompts.slice(0, 2), metadata.slice(0, 2));
    scorer.dispose();
    expect(two).toEqual(one);
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose([images, spread]);
  });
});
