import { PassThrough } from 'node:stream';
import { shapeScenes } from '@flow-grpo/datasets';
import { shapeEval } from '@flow-grpo/rewards';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { accuracies, habits, heldOutPrompts, trainingPrompts, witness } from './evaluation';
import { readOptions } from './options';
import { progressLine } from './progress';
import { IMAGE_SIZE, loadSmallModel } from './small-model';

const KINDS = ['single_object', 'colors', 'counting'] as const;

describe('the model in the repository', () => {
  it('loads, fits its configuration and knows every word of its prompts', async () => {
    const { params, config, vae, tokenizer, kinds } = await loadSmallModel();
    expect(Object.values(params).every((value) => value.dataSync().every(Number.isFinite))).toBe(true);
    expect(Object.values(vae.params).every((value) => value.dataSync().every(Number.isFinite))).toBe(true);
    expect(config.vocabSize).toBe(tokenizer.vocabSize);
    const unknown = tokenizer.encode('zebra')[0];
    for (const { prompt } of heldOutPrompts(240, kinds))
      expect(tokenizer.encode(prompt)).not.toContain(unknown);
  });
});

describe('prompts', () => {
  it('keeps what is evaluated out of training', () => {
    const trained = new Set(trainingPrompts(0, 3000, KINDS).map(({ prompt }) => prompt));
    const held = heldOutPrompts(120, KINDS);
    expect(held.length).toBe(120);
    expect(held.filter(({ prompt }) => trained.has(prompt))).toEqual([]);
  });

  it('draws the same ones for the same seed', () => {
    expect(trainingPrompts(3, 50, KINDS)).toEqual(trainingPrompts(3, 50, KINDS));
    expect(trainingPrompts(3, 50, KINDS)).not.toEqual(trainingPrompts(4, 50, KINDS));
  });
});

it('measures accuracy and habits on rendered scenes', async () => {
  const scenes = shapeScenes({ size: IMAGE_SIZE, kinds: ['single_object'], seed: 1 });
  const shown = Array.from({ length: 8 }, (_, i) => scenes.scene(i));
  const images = tf.tensor4d(Float32Array.from(shown.flatMap(({ image }) => [...image])), [
    8,
    IMAGE_SIZE,
    IMAGE_SIZE,
    3,
  ]);
  const watched = witness(shapeEval());
  const { scores, details } = await watched.score(
    images,
    shown.map(({ prompt }) => prompt),
    shown.map(({ metadata }) => metadata),
  );
  const evaluation = {
    epoch: 0,
    reward: 1,
    prompts: [],
    scores,
    details,
    images: new Float32Array(),
    imageShape: [],
    seconds: 0,
  };
  expect(accuracies(shown, evaluation)).toEqual([
    { kind: 'all', prompts: 8, strict: 1 },
    { kind: 'single_object', prompts: 8, strict: 1 },
  ]);
  const { diversity, colors } = habits(watched.take(), shown);
  expect(diversity).toBeGreaterThan(0);
  expect(Object.values(colors).reduce((sum, share) => sum + share, 0)).toBeCloseTo(1);
  expect(watched.take()).toEqual([]);
});

describe('options', () => {
  it('has defaults and reads what is given', () => {
    expect(readOptions([])).toMatchObject({ backend: 'xla', reward: 'shapes', seed: 0 });
    expect(readOptions(['--minutes', '0.5', '--backend', 'cpu'])).toMatchObject({
      minutes: 0.5,
      backend: 'cpu',
    });
  });
});

it('rewrites its progress on a terminal and spaces it out elsewhere', () => {
  const written = (isTTY: boolean) => {
    const stream = Object.assign(new PassThrough(), { isTTY, columns: 40 });
    const line = progressLine(stream as unknown as NodeJS.WriteStream);
    line.show('one');
    line.show('two');
    line.end();
    return String(stream.read());
  };
  expect(written(true)).toContain('two\n');
  expect(written(false)).toBe('one\n');
});
