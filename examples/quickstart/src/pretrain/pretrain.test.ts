import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { main } from '../../../../packages/cli/src/commands/main';
import { loadSmallModel, RECORD } from '../small-model';
import { readPretrainOptions } from './options';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const recipe = parse(readFileSync(path('../../pretrain.yaml'), 'utf8'));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pretrain-'));
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

describe('flow-grpo pretrain pretrain.yaml', () => {
  it('makes a model that the quickstart loads', async () => {
    const out = join(folder, 'model');
    const work = join(folder, 'work');
    const few = {
      vaeSteps: 2,
      vaeBatch: 4,
      scenes: 32,
      flowSteps: 2,
      flowBatch: 4,
      saveEvery: 2,
      measured: 24,
    };
    const options = { ...recipe.setup.options, ...few, out, work };
    const run = { output: work, setup: { ...recipe.setup, path: path('./setup.ts'), options } };
    writeFileSync(join(folder, 'run.yaml'), stringify(run));
    await main(['node', 'flow-grpo', 'pretrain', join(folder, 'run.yaml')]);
    const model = await loadSmallModel(out);
    expect(model.kinds).toHaveLength(6);
    expect(model.vae.config.latentStd.every((value) => value > 0)).toBe(true);
    const record = JSON.parse(readFileSync(join(out, RECORD), 'utf8'));
    expect(record).toMatchObject({ ...few, stepsDone: 2 });
    expect(record.history.map(({ step }: { step: number }) => step)).toEqual([2]);
    tf.dispose([model.params, model.vae.params]);
  });
});

describe('its options', () => {
  const given = recipe.setup.options;

  it('are those of the record in the repository', () => {
    const { out: _, work: __, ...options } = readPretrainOptions(given);
    const record = JSON.parse(readFileSync(path('../../assets/pretraining.json'), 'utf8'));
    const { saveEvery, measured, ...made } = options;
    expect(record).toMatchObject(made);
    expect(record.history[0].step).toBe(saveEvery);
    expect(measured).toBe(600);
  });

  it.each([
    [{ flowStep: 3 }, /setup.options.flowStep does not exist/],
    [{ vaeSteps: 1.5 }, /setup.options.vaeSteps must be a whole number from 1, not 1.5/],
    [{ kinds: ['circles'] }, /setup.options.kinds must be of single_object/],
    [{ out: '' }, /setup.options.out must be a folder/],
  ])('refuse %j', (wrong, message) => {
    expect(() => readPretrainOptions({ ...given, ...wrong })).toThrow(message);
  });
});
