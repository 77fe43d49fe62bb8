import '@flow-grpo/tfjs-backend-xla';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRunFile } from '../run-file/read';
import { resolveRunFile } from '../run-file/schema';
import { writeTinyShowo2 } from '../setup/testing/tiny-showo2';
import { planRun } from './plan-run';

let folder: string;
let setup: { kind: 'showo2'; model: string; dataset: string; reward: Record<string, number> };
beforeAll(async () => {
  await tf.setBackend('xla');
  folder = await mkdtemp(join(tmpdir(), 'plan-'));
  const { model, dataset } = await writeTinyShowo2(folder);
  setup = { kind: 'showo2', model, dataset, reward: { jpeg_compressibility: 1 } };
});
afterAll(() => rm(folder, { recursive: true }));

const run = (more: Record<string, unknown> = {}) =>
  resolveRunFile({
    output: join(folder, 'run'),
    epochs: 10,
    devices: 2,
    sampling: { numSteps: 12, promptsPerEpoch: 4, samplesPerPrompt: 4, batchSize: 4 },
    setup,
    ...more,
  });

describe('planRun', () => {
  it('tells sources, samples, steps, updates and memory without loading a weight', async () => {
    const before = tf.memory().numTensors;
    const { text: plan, missing } = await planRun(run());
    expect(missing).toEqual([]);
    expect(tf.memory().numTensors).toBe(before);
    expect(plan).toMatch(/^model +\S+\/model \(folder, [\d.]+ kB\)$/m);
    expect(plan).toContain('10 epochs × 16 images (4 prompts × 4) = 160');
    expect(plan).toContain('4 per epoch of 4 images, 2 per device, on 2 devices');
    expect(plan).toMatch(/12 per rollout; .* on 10 of steps 1 … 10 \(fixed\), 10 trained/);
    expect(plan).toContain('2 per epoch, 20 in all');
    expect(plan).toContain('grpo, learning rate 1e-4');
    expect(plan).toMatch(/^weights +.* of which .* train$/m);
    expect(plan).toMatch(/^memory +.* per device before activations/m);
    expect(plan).toContain('known after the second epoch');
  });

  it('tells where there is guidance, as the file or an override says', async () => {
    const file = join(folder, 'run.yaml');
    await writeFile(file, JSON.stringify({ setup: { ...setup, guidanceScale: 4.5 } }));
    const guidance = async (...overrides: string[]) =>
      /^guidance +(.*)$/m.exec((await planRun(await readRunFile(file, overrides))).text)?.[1];
    expect(await guidance()).toBe('4.5 everywhere');
    expect(await guidance('setup.guidanceInTraining=false')).toBe(
      '4.5 in rollouts and evaluations, none in updates',
    );
    expect(await guidance('setup.guidanceScale=0')).toBe('none');
    await expect(guidance('setup.guidanceInTraining=2')).rejects.toThrow(/setup.guidanceInTraining: /);
    const { text: toy } = await planRun(run({ setup: 'toy', training: { learningRate: 0.02 } }));
    expect(toy).not.toContain('guidance');
    expect(toy).toContain('learning rate 0.02');
  });

  it('keeps half of the features where updates do without', async () => {
    const samples = async (more: Record<string, unknown>) =>
      /samples ([\d.]+ \w+)$/m.exec((await planRun(run({ setup: { ...setup, ...more } }))).text)![1];
    const guided = await samples({ guidanceScale: 2 });
    const rollouts = await samples({ guidanceScale: 2, guidanceInTraining: false });
    expect(rollouts).not.toBe(guided);
    expect(rollouts).toBe(await samples({}));
  });

  it('knows the time of a folder that has trained before', async () => {
    await mkdir(join(folder, 'run'));
    const lines = [9, 2, 4].map((seconds, epoch) => JSON.stringify({ epoch, seconds }));
    await writeFile(join(folder, 'run/metrics.jsonl'), `${lines.join('\n')}\n`);
    expect((await planRun(run())).text).toMatch(
      /^time +about 30 s at 3\.00 s per epoch, as measured before$/m,
    );
  });

  it('plans what has no checkpoint, without its memory', async () => {
    const { text: plan } = await planRun(run({ setup: 'toy' }));
    expect(plan).toContain('160');
    expect(plan).not.toContain('memory');
  });

  it('says what is missing, beside what it can tell', async () => {
    const { text, missing } = await planRun(run({ setup: { ...setup, dataset: '/no' } }));
    expect(missing).toEqual([expect.stringMatching(/^setup.dataset: \/no does not exist/)]);
    expect(text).toMatch(/^memory +/m);
    const without = await planRun(run({ setup: { ...setup, model: '/no', vae: '/none' } }));
    expect(without.missing.map((line) => line.replace(/:.*/, ''))).toEqual(['setup.model', 'setup.vae']);
    expect(without.text).toContain('160');
    expect(without.text).not.toContain('memory');
  });
});
