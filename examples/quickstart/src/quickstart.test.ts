import { shapeScenes } from '@flow-grpo/datasets';
import { shapeEval } from '@flow-grpo/rewards';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { accuracies, habits, heldOutPrompts, trainingPrompts, witness } from './evaluation';
import { readOptions } from './options';
import { trainingReward } from './reward';
import { IMAGE_SIZE, loadSmallModel } from './small-model';
import { resultsTable } from './table';

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
  const watched = witness(shapeEval(), shown);
  const { scores, details } = await watched.score(
    images,
    shown.map(({ prompt }) => prompt),
    shown.map(({ metadata }) => metadata),
  );
  const evaluation = {
    epoch: 0,
    reward: 1,
    prompts: [],
    metadata: [],
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
    expect(readOptions([])).toMatchObject({ algorithm: 'nft', reward: 'shapes', seed: 0, train: ['**'] });
    const given = ['--minutes', '0.5', '--backend', 'cpu', '--reward', 'pickscore'];
    expect(
      readOptions([...given, '--reward-option', 'model=a/b', '--reward-option', 'batchSize=4']),
    ).toMatchObject({
      minutes: 0.5,
      backend: 'cpu',
      reward: 'pickscore',
      rewardOption: { model: 'a/b', batchSize: 4 },
    });
  });
});

describe('rewards', () => {
  const asked = (reward: string, rewardOption = {}) => trainingReward({ reward, rewardOption });
  const images = () => tf.zeros([2, IMAGE_SIZE, IMAGE_SIZE, 3]) as tf.Tensor4D;
  const prompts = ['a red circle', 'a blue square'];
  const metadata = prompts.map((prompt, i) => ({
    tag: 'single_object',
    include: [{ class: i === 0 ? 'circle' : 'square', count: 1 }],
    prompt,
  }));

  it.each(['shapes', 'strict', 'jpeg', 'jpeg_incompressibility', 'ocr'])('%s scores images', async (name) => {
    const { scores } = await (await asked(name)).score(images(), prompts, metadata);
    expect(scores.length).toBe(2);
    expect(scores.every(Number.isFinite)).toBe(true);
  });

  it('says what a reward lacks, or does not take', async () => {
    await expect(asked('aesthetic')).rejects.toThrow(/aesthetic.head/);
    await expect(asked('jpeg', { quality: 3 })).rejects.toThrow(
      /--reward jpeg takes no options, got quality/,
    );
  });
});

it('puts several runs into one table', () => {
  const measured = (strict: number) => ({
    reward: 0,
    strict: [{ kind: 'all', prompts: 8, strict }],
    habits: { diversity: strict / 2, colors: { red: 0.25, blue: 0.75 } },
  });
  const result = (seed: number) => ({
    options: { ...readOptions([]), seed },
    backend: 'xla',
    epochs: 2,
    images: 12_800,
    trainingSeconds: 100,
    totalSeconds: 150,
    imagesPerSecond: 128,
    peakMemory: 2 ** 30,
    before: measured(0.4),
    after: measured(0.6),
  });
  const table = resultsTable([result(0), result(3)]);
  expect(table).toContain('|  | seed 0 | seed 3 |');
  expect(table).toContain('| **all** | 40.0 % → 60.0 % | 40.0 % → 60.0 % |');
  expect(table).toContain('| most frequent free colour | blue 75.0 % → blue 75.0 % |');
  expect(table).toContain('| minutes in total | 2.5 | 2.5 |');
});
