import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { schemaLeaves } from '@flow-grpo/grpo-trainer/config';
import { describe, expect, it } from 'vitest';
import { readRunFile } from './read';
import { resolveRunFile, runFileJsonSchema, runFileSchema } from './schema';

describe('resolveRunFile', () => {
  const showo2 = { kind: 'showo2', model: 'm', dataset: 'd', reward: { pickscore: 1 } };

  it('fills in defaults of the chosen setup', () => {
    expect(resolveRunFile({}).setup).toEqual({ kind: 'toy' });
    expect(resolveRunFile({ setup: './mine.mjs' }).setup).toEqual({
      kind: 'module',
      path: './mine.mjs',
      options: {},
    });
    expect(resolveRunFile({ setup: showo2 }).setup).toMatchObject({
      dtype: 'bfloat16',
      guidanceScale: 0,
      guidanceInTraining: true,
    });
    expect(resolveRunFile({ wandb: {} }).wandb).toEqual({ project: 'flow-grpo', tags: [] });
  });

  it.each([
    [{ setup: { kind: 'showo3' } }, /setup.kind: .*"showo2"/],
    [{ setup: { ...showo2, train: { lora: { rnak: 4 } } } }, /did you mean setup.train.lora.rank\?/],
    [{ setup: { ...showo2, train: { lroa: { rank: 4 } } } }, /did you mean setup.train.lora\?/],
    [{ setup: { ...showo2, train: { lora: { rank: 0 } } } }, /setup.train.lora.rank: .*>=1/],
    [{ setup: { ...showo2, modle: 'x' } }, /setup.modle is not an option; did you mean setup.model\?/],
    [{ setup: { ...showo2, reward: {} } }, /setup.reward: names no reward; e.g. pickscore: 1/],
    [{ setup: { ...showo2, reward: { pickscor: 1 } } }, /did you mean setup.reward.pickscore\?/],
    [{ setup: { ...showo2, reward: { geneval: {} } } }, /setup.reward.geneval.url/],
    [{ setup: { ...showo2, reward: { ocr: true } } }, /setup.reward.ocr: /],
    [{ setup: { ...showo2, reward: { pickscore: { modle: 'x' } } } }, /mean setup.reward.pickscore.model\?/],
    [{ setup: { ...showo2, guidanceInTraining: 'no' } }, /setup.guidanceInTraining: .*boolean/],
    [{ setup: { ...showo2, guidanceTraining: false } }, /did you mean setup.guidanceInTraining\?/],
    [{ setup: showo2, train: { cfg: false } }, /train.cfg is not .* mean setup.guidanceInTraining\?/],
    [{ setup: { kind: 'showo2' } }, /setup.model: .*\nsetup.dataset: .*\nsetup.reward: /],
    [{ setup: { ...showo2, storage: 'float32' } }, /setup.storage is not .* mean setup.dtype\?/],
    [{ guard: { action: 'off' } }, /guard.action is not .* mean divergence.action\?/],
    [{ training: { klOn: 'velocity' } }, /training.klOn is not .* mean grpo.klTarget\?/],
    [{ training: { beta: 0.1 } }, /training.beta is not .* mean grpo.beta\?/],
    [{ training: { objective: 'dpo' } }, /training.objective is not .* mean algorithm\?/],
    [{ outputs: 'x' }, /did you mean output\?/],
    [{ wandb: { projct: 'x' } }, /did you mean wandb.project\?/],
    [{ peakTflops: 0 }, /peakTflops: /],
  ])('refuses %j', (input, message) => {
    expect(() => resolveRunFile(input)).toThrow(message);
  });
});

describe('runFileJsonSchema', () => {
  it('documents every option', () => {
    const undocumented = schemaLeaves(runFileSchema).filter(({ description }) => description.length < 10);
    expect(undocumented).toEqual([]);
  });

  it('accepts what the command accepts, setups included', () => {
    const schema = JSON.stringify(runFileJsonSchema());
    for (const key of ['"setup"', '"output"', '"pickscore"', '"wandb"', '"showo2"'])
      expect(schema).toContain(key);
  });
});

describe('rewards of a run file', () => {
  it('are modules relative to the file that names them, and checked by name otherwise', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'run-file-'));
    const file = join(folder, 'run.yaml');
    const setup = 'setup: { kind: showo2, model: m, dataset: d, reward:';
    await writeFile(file, `${setup} { ./mine.mjs: { weight: 2, target: red }, shapes: 1 } }\n`);
    const { setup: read } = await readRunFile(file, []);
    expect(read).toMatchObject({
      reward: { [join(folder, 'mine.mjs')]: { weight: 2, target: 'red' }, shapes: 1 },
    });
    await writeFile(file, `${setup} { shape: 1 } }\n`);
    await expect(readRunFile(file, [])).rejects.toThrow(/setup\.reward\.shape.*did you mean.*shapes/);
    await rm(folder, { recursive: true });
  });
});

describe('an override', () => {
  it.each(['__proto__.x=1', 'training.__proto__.x=1', 'constructor.prototype.x=1', 'training.toString.x=1'])(
    '%s is refused and changes no object of the program',
    async (override) => {
      await expect(readRunFile(undefined, [override])).rejects.toThrow(/is not the name of an option/);
      expect(({} as { x?: number }).x).toBeUndefined();
    },
  );
});
