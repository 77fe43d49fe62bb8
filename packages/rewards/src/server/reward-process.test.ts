import { rmSync } from 'node:fs';
import { sceneBatch, shapeScenes } from '@flow-grpo/datasets';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundleCommand, temporaryFolder } from '../cli/command.testing';
import { shapeEval } from '../shapes';
import { rewardProcess } from './reward-process';

const { images: pixels, shape, prompts, metadata } = sceneBatch(shapeScenes({ size: 64, seed: 5 }), 0, 6);
let folder: string;
let command: [string, string];

beforeAll(async () => {
  folder = temporaryFolder();
  command = [process.execPath, await bundleCommand(folder)];
});
afterAll(() => rmSync(folder, { recursive: true }));

it('scores in a process of its own as it would here, with the options it is given', async () => {
  const options = { strictWeight: 0.125 };
  const images = tf.tensor4d(pixels, shape);
  const scorer = await rewardProcess('shapes', { options, device: 'cpu', batchSize: 4, command });
  const asked = [...metadata.slice(1), metadata[0]!];
  expect(await scorer.score(images, prompts, asked)).toEqual(
    await shapeEval(options).score(images, prompts, asked),
  );
  scorer.dispose();
  await expect(scorer.score(images, prompts, asked)).rejects.toThrow('the process of shapes ended');
  images.dispose();
});

it('passes on what the process complains of', async () => {
  const broken = rewardProcess('pickscore', {
    options: { model: './none/of-these' },
    device: 'cpu',
    command,
  });
  await expect(broken).rejects.toThrow(/ended: .*pickscore.*PickScore_v1/s);
  const odd = rewardProcess('shapes', { options: { strictness: 1 }, command });
  await expect(odd).rejects.toThrow('shapes has no option strictness');
});

it('gives up a start that is aborted', async () => {
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(rewardProcess('shapes', { command, signal })).rejects.toThrow();
});
