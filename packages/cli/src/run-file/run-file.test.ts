import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { schemaLeaves } from '@flow-grpo/grpo-trainer/config';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

describe('a run file', () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'run-file-'));
    file = join(folder, 'run.yaml');
  });
  afterEach(() => rm(folder, { recursive: true }));
  const read = async (bytes: string | Uint8Array) => {
    await writeFile(file, bytes);
    return readRunFile(file, []);
  };

  const utf16 = (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le');
  it.each<[string, string | Uint8Array]>([
    ['LF', 'epochs: 7\ntraining: { learningRate: 1e-3 }\noutput: café\n'],
    ['CR LF', 'epochs: 7\r\ntraining:\r\n  learningRate: 1e-3\r\noutput: café\r\n'],
    ['a byte order mark', '\ufeffepochs: 7\ntraining: { learningRate: 1e-3 }\noutput: café\n'],
    [
      'UTF-16, as PowerShell writes it',
      utf16('epochs: 7\r\ntraining: { learningRate: 1e-3 }\r\noutput: café\r\n'),
    ],
    [
      'UTF-16 of the other order',
      utf16('epochs: 7\ntraining: { learningRate: 1e-3 }\noutput: café').swap16(),
    ],
    ['JSON', '{"epochs": 7, "training": {"learningRate": 1e-3}, "output": "café"}'],
    ['JSON with tabs', '{\n\t"epochs": 7,\n\t"training": {"learningRate": 0.001},\n\t"output": "café"\n}'],
    ['anchors', 'ema: { decay: &rate 1e-3 }\nepochs: 7\ntraining: { learningRate: *rate }\noutput: café'],
    ['merged keys', 'training: { <<: { learningRate: 1e-3 } }\nepochs: 7\noutput: café'],
  ])('with %s says the same', async (_, bytes) => {
    const { config, output } = await read(bytes);
    expect([config.epochs, config.training.learningRate, output]).toEqual([7, 1e-3, 'café']);
  });

  it('whose merged keys are written again has those written', async () => {
    const { config } = await read('sampling: &s { numSteps: 4 }\ntraining: {}\nepochs: 2\n');
    expect(config.sampling.numSteps).toBe(4);
    const merged = await read('grpo: { <<: { clipRange: 0.1, beta: 0.5 }, clipRange: 0.2 }\n');
    expect(merged.config.grpo).toMatchObject({ clipRange: 0.2, beta: 0.5 });
  });

  it.each<[string, string | Uint8Array, RegExp]>([
    ['Latin-1', Buffer.from('output: caf\xe9', 'latin1'), /run\.yaml is not UTF-8 text: save it as UTF-8/],
    ['half a UTF-16 character', utf16('epochs: 7').subarray(0, -1), /is not UTF-8 text/],
    ['nothing', '', /run\.yaml is empty/],
    ['a comment', '# nothing\n', /run\.yaml is empty/],
    ['two documents', 'epochs: 7\n---\nepochs: 8\n', /multiple documents/],
    ['a key twice', 'epochs: 7\nepochs: 8\n', /run\.yaml:2: Map keys must be unique/],
    ['a key twice in JSON', '{"epochs": 7, "epochs": 8}', /Map keys must be unique/],
    ['a tab', 'training:\n\tlearningRate: 1e-3\n', /run\.yaml:\d: .*[Tt]ab/],
    ['a number as text', 'epochs: "7"', /run\.yaml:1: epochs: .*number/],
    ['a date', 'epochs: 2026-01-01', /run\.yaml:1: epochs: .*number/],
    ['digits with separators', 'epochs: 1_000', /run\.yaml:1: epochs: .*number/],
    ['a whole number that is none in binary', 'seed: 9007199254740993', /run\.yaml:1: seed: /],
    ['a huge number', 'epochs: 1e400', /run\.yaml:1: epochs: /],
    ['no number', 'training: { learningRate: .nan }', /run\.yaml:1: training\.learningRate: /],
    ['yes for true', 'ema: { enabled: yes }', /run\.yaml:1: ema\.enabled: .*boolean/],
    ['null', 'training: ~', /run\.yaml:1: training: /],
    ['a prototype', '__proto__: { epochs: 7 }', /run\.yaml:1: __proto__ is not the name of an option/],
    [
      'a prototype within',
      'training: { "__proto__": { beta: 1 } }',
      /training\.__proto__ is not the name of an option/,
    ],
    [
      'a prototype among rewards',
      'setup: { kind: showo2, reward: { __proto__: 1 } }',
      /reward\.__proto__ is not the name/,
    ],
    [
      'a prototype in a module’s options',
      'setup:\n  kind: module\n  options:\n    __proto__: 1',
      /run\.yaml:4: .*no name/,
    ],
    ['a constructor', 'constructor: 1', /run\.yaml:1: constructor is not an option/],
    ['an alias of nothing', 'epochs: *n', /[Uu]nresolved alias/],
    ['a merge of nothing', 'training: { <<: *n }', /run\.yaml.*[Mm]erge|alias/],
    ['a merge of a number', 'training: { <<: 1 }', /run\.yaml.*[Mm]erge/],
    ['a merge of itself', 'training: &t { <<: *t }', /run\.yaml/],
    [
      '10^10 leaves',
      [
        'a0: &a0 [x, x, x, x, x, x, x, x, x, x]',
        ...Array.from(
          { length: 9 },
          (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(', ')}]`,
        ),
      ].join('\n'),
      /alias/,
    ],
    ['lists without end', '['.repeat(100_000), /run\.yaml(:1)?: it is nested too deeply/],
    ['groups without end', '{a: '.repeat(50_000), /run\.yaml(:1)?: it is nested too deeply/],
  ])('with %s is refused', async (_, bytes, message) => {
    const error = await read(bytes).catch((each: Error) => each);
    expect(error).toMatchObject({ name: 'ConfigError', message: expect.stringMatching(message) });
    expect(({} as { epochs?: number }).epochs).toBeUndefined();
  });
});
