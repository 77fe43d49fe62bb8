import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { main } from '../../../../packages/cli/src/commands/main';
import { loadSmallModel, RECORD } from '../small-model';

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
