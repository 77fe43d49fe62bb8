import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readPretrainOptions } from './options';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const recipe = parse(readFileSync(path('../../pretrain.yaml'), 'utf8'));

describe('the options of pretrain.yaml', () => {
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
