import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { describeFailure, EXIT, exitCodeOf, InterruptedError } from './failure';
import { main } from './main';

let folder: string;
let busy: Server;
let printed: string[];
const port = () => (busy.address() as AddressInfo).port;

/** Files that the cases are about. */
const FILES: Readonly<Record<string, string>> = {
  'file.txt': 'no folder\n',
  'empty.yaml': '# nothing but a comment\n',
  'list.yaml': '- epochs\n- 3\n',
  'broken.yaml': 'epochs: 3\nsampling: { numSteps: 4\ntraining:\n',
  'twice.yaml': 'epochs: 3\nepochs: 4\n',
  'typo.yaml': 'epochs: 3\ntraining:\n  # a comment\n  learning_rate: 1e-4\n',
  'type.yaml': 'epochs: 3\nsampling:\n  promptsPerEpoch: many\n',
  'noise.yaml': 'sampling:\n  numSteps: 6\n  noiseLevel: 0\n',
  'kind.yaml': 'setup:\n  kind: showo3\n',
  'lacks.yaml': 'epochs: 3\nsetup:\n  kind: showo2\n  model: ./no-model\n',
  'model.yaml':
    'setup:\n  kind: showo2\n  model: /no/model\n  dataset: /no/prompts\n  reward:\n    jpeg_compressibility: 1\n',
  'reward.yaml':
    'setup:\n  kind: showo2\n  model: /no/model\n  dataset: /no/prompts\n  reward:\n    ./none.mjs: 1\n',
  'devices.yaml': 'devices: 2\n',
  'rewarded-twice.yaml':
    'setup:\n  kind: showo2\n  model: /no/model\n  dataset: /no/prompts\n  reward: { jpeg_compressibility: 1 }\n  evalRewards:\n    jpeg_compressibility: 1\n',
  'few.yaml': 'setup: ./few.mjs\nsampling:\n  promptsPerEpoch: 9\n',
  'gone.yaml': 'setup: ./gone.mjs\n',
  'setup-syntax.mjs': 'export default () => {',
  'setup-none.mjs': 'export const policy = 1;',
  'setup-throws.mjs': '\nexport default () => {\n  null.policy;\n};\n',
  'setup-empty.mjs': 'export default () => ({});',
  'throws-nothing.mjs': 'export default () => { throw undefined; };',
  'throws-text.mjs': "export default async () => { throw 'out of luck'; };",
  'throws-record.mjs': 'export default () => { throw { code: 5 }; };',
  'throws-bare.mjs': 'export default () => { throw Object.create(null); };',
  'loads-null.mjs': 'throw null;',
  'gives-null.mjs': 'export default () => null;',
  'gives-number.mjs': 'export default () => 5;',
  'gives-prompts.mjs': 'export default () => ({ prompts: 5 });',
  'gives-texts.mjs': "export default () => ({ prompts: ['a', 'b'] });",
  'gives-scorer.mjs': 'export default () => ({ scorer: 3 });',
  'gives-policy.mjs':
    "export default () => ({ policy: { params: {}, trainable: 'all', latentShape: [1] } });",
  'few.mjs':
    "const f = () => {}; export default () => ({ policy: { params: {}, trainable: [], latentShape: [1], encodePrompts: f, velocity: f, decode: f }, prompts: [{ prompt: 'a' }], scorer: () => [1] });",
};

/** Folders of runs, by what is in metrics.jsonl. */
const RUNS: Readonly<Record<string, string | Buffer>> = {
  'run-odd': 'null\n[]\n5\n{"epoch":"a"}\n',
  'run-bytes': Buffer.from([255, 254, 0, 123]),
  'run-empty': '',
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'failures-'));
  for (const [name, text] of Object.entries(FILES)) await writeFile(join(folder, name), text);
  await mkdir(join(folder, 'no-run'));
  for (const [run, metrics] of Object.entries(RUNS)) {
    await mkdir(join(folder, run));
    await writeFile(join(folder, run, 'metrics.jsonl'), metrics);
  }
  await mkdir(join(folder, 'run-folder', 'metrics.jsonl'), { recursive: true });
  busy = createServer();
  await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  await new Promise((resolve) => busy.close(resolve));
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  printed = [];
  const keep = (...texts: unknown[]) => void printed.push(texts.join(' '));
  const write = (text: unknown) => printed.push(String(text)) > 0;
  vi.spyOn(console, 'log').mockImplementation(keep);
  vi.spyOn(console, 'error').mockImplementation(keep);
  vi.spyOn(process.stderr, 'write').mockImplementation(write as never);
  vi.spyOn(process.stdout, 'write').mockImplementation(write as never);
  vi.stubEnv('DEBUG', '');
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  process.exitCode = undefined;
});

/** `@` in an argument stands for the folder of the test. */
async function run(...args: string[]): Promise<{ code: number; text: string }> {
  await main(['node', 'flow-grpo', ...args.map((arg) => arg.replaceAll('@', folder))]);
  return { code: Number(process.exitCode ?? 0), text: printed.join('\n') };
}

/** On plain JavaScript, into a folder that no case must make. */
const train = (...args: string[]) => ['train', ...args, '--backend', 'cpu', '-o', '@/out'];

const CASES: [what: string, args: string[], code: number, message: RegExp][] = [
  ['a folder that is not there', ['report', '@/none'], 2, /none does not exist; give the folder of a run/],
  ['a file for a folder', ['report', '@/file.txt'], 2, /file\.txt is a file; give the folder of a run/],
  [
    'a folder by a name that is too long',
    ['init', `@/${'n'.repeat(300)}`, '--setup', 'toy'],
    1,
    /the name is too long for the file system/,
  ],
  [
    'a run of lines that are none',
    ['report', '@/run-odd'],
    2,
    /run-odd\/metrics\.jsonl holds a line that is not a record of a run: its epoch is not a number/,
  ],
  ['a run of bytes', ['report', '@/run-bytes'], 2, /run-bytes has no metrics\.jsonl with an epoch/],
  ['a run without an epoch', ['report', '@/run-empty'], 2, /run-empty has no metrics\.jsonl with an epoch/],
  [
    'a run with a folder for its metrics',
    ['report', '@/run-folder'],
    1,
    /run-folder\/metrics\.jsonl: this is a folder, not a file/,
  ],
  ['a folder of something else', ['report', '@/no-run'], 2, /no-run is not the folder of a run: .*metrics/],
  [
    'an output below a file',
    ['train', '--backend', 'cpu', '-o', '@/file.txt/run'],
    2,
    /command line: output: .*file\.txt is a file; choose another with -o/,
  ],
  ['the same, planned', ['train', '--dry-run', '-o', '@/file.txt/run'], 2, /output: .*file\.txt is a file/],
  [
    'a setup module that is not there',
    train('--setup', '@/gone.mjs'),
    2,
    /command line: setup\.path: .*gone\.mjs does not exist; flow-grpo init/,
  ],
  ['the same, in a file', train('@/gone.yaml'), 2, /gone\.yaml:1: setup\.path: .*gone\.mjs does not exist/],
  [
    'the same, planned',
    train('@/gone.yaml', '--dry-run'),
    2,
    /Missing:\n.*setup\.path: .*gone\.mjs does not exist/,
  ],
  ['a folder for a setup module', train('--setup', '@/no-run'), 2, /setup\.path: .*no-run is a folder/],
  [
    'a setup module with a syntax error',
    train('--setup', '@/setup-syntax.mjs'),
    2,
    /setup-syntax\.mjs cannot be loaded: /,
  ],
  [
    'a setup module without a default export',
    train('--setup', '@/setup-none.mjs'),
    2,
    /must export a function by default \(see defineSetup\); it exports policy/,
  ],
  [
    'a setup module that throws',
    train('--setup', '@/setup-throws.mjs'),
    1,
    /setup-throws\.mjs, line 3: TypeError: .*null/,
  ],
  [
    'a setup module that throws nothing',
    train('--setup', '@/throws-nothing.mjs'),
    1,
    /throws-nothing\.mjs: undefined was thrown/,
  ],
  ['one that throws text', train('--setup', '@/throws-text.mjs'), 1, /throws-text\.mjs: out of luck/],
  ['one that throws a record', train('--setup', '@/throws-record.mjs'), 1, /\{ code: 5 \} was thrown/],
  [
    'one that throws what has no text',
    train('--setup', '@/throws-bare.mjs'),
    1,
    /prototype\] \{\} was thrown/,
  ],
  ['one that throws null as it loads', train('--setup', '@/loads-null.mjs'), 2, /cannot be loaded: null was/],
  [
    'one that gives null',
    train('--setup', '@/gives-null.mjs'),
    2,
    /gives-null\.mjs returns null; it must be \{/,
  ],
  ['one that gives a number', train('--setup', '@/gives-number.mjs'), 2, /returns 5; it must be \{ policy,/],
  ['a number of prompts', train('--setup', '@/gives-prompts.mjs'), 2, /returns prompts: 5; .*a list of/],
  [
    'prompts as texts',
    train('--setup', '@/gives-texts.mjs'),
    2,
    /returns prompts: \[ 'a', 'b' \]; .*prompt: text/,
  ],
  ['a number for a scorer', train('--setup', '@/gives-scorer.mjs'), 2, /returns scorer: 3; .*a function/],
  [
    'a policy with a part of another type',
    train('--setup', '@/gives-policy.mjs'),
    2,
    /returns policy\.trainable: 'all'; it must be a list of names/,
  ],
  ['a setup without a policy', train('--setup', '@/setup-empty.mjs'), 2, /setup module provides no policy/],
  [
    'a backend that is not there',
    ['train', '--backend', 'gpu', '-o', '@/out'],
    2,
    /--backend: there is no backend gpu in Node; give xla, .*xla uses a GPU/,
  ],
  ['the same, planned', ['train', '--dry-run', '--backend', 'gpu'], 2, /there is no backend gpu in Node/],
  [
    'more devices than a backend has',
    train('@/devices.yaml'),
    2,
    /devices\.yaml:1: devices: the run asks for 2, and backend cpu has 1/,
  ],
  [
    'a run file that is not there',
    train('@/none.yaml'),
    2,
    /none\.yaml cannot be read: there is no such file; flow-grpo init/,
  ],
  ['a folder for a run file', train('@/no-run'), 2, /no-run cannot be read: it is a folder/],
  ['an empty run file', train('@/empty.yaml'), 2, /empty\.yaml is empty; flow-grpo init writes/],
  ['the same, planned', train('@/empty.yaml', '--dry-run'), 2, /empty\.yaml is empty/],
  [
    'a list for a run file',
    train('@/list.yaml'),
    2,
    /list\.yaml:1: a run file holds options by name, .*not a list/,
  ],
  ['a run file that is not YAML', train('@/broken.yaml'), 2, /broken\.yaml:3: .*[\s\S]*training/],
  ['an option given twice', train('@/twice.yaml'), 2, /twice\.yaml:2: Map keys must be unique/],
  ['two run files', train('@/typo.yaml', '--config', '@/type.yaml'), 2, /two run files: .*give one/],
  [
    'a misspelt option',
    train('@/typo.yaml'),
    2,
    /typo\.yaml:4: training\.learning_rate is not an option; did you mean training\.learningRate\?/,
  ],
  [
    'a word for a number',
    train('@/type.yaml'),
    2,
    /type\.yaml:3: sampling\.promptsPerEpoch: .*expected number.*\(given: "many"\)/,
  ],
  [
    'the same as a flag',
    train('--epochs', 'many'),
    2,
    /command line: epochs: .*expected number.*\(given: "many"\)/,
  ],
  [
    'options that contradict each other',
    train('@/noise.yaml'),
    2,
    /noise\.yaml:3: sampling\.noiseLevel is 0/,
  ],
  [
    'a kind of setup that is not there',
    train('@/kind.yaml'),
    2,
    /kind\.yaml:2: setup\.kind: .*"showo2".*\(given: "showo3"\)/,
  ],
  [
    'a setup that lacks options',
    train('@/lacks.yaml'),
    2,
    /lacks\.yaml:2: setup\.dataset: [\s\S]*lacks\.yaml:2: setup\.reward: /,
  ],
  [
    'a model that is not there',
    train('@/model.yaml', '--dry-run'),
    2,
    /model\.yaml:3: setup\.model: \/no\/model does not exist[\s\S]*model\.yaml:4: setup\.dataset: \/no\/prompts/,
  ],
  [
    'machines where no size is known',
    ['train', '--setup', 'toy', '--dry-run', '--hosts', '64'],
    2,
    /--hosts needs the sizes of the model, .* not of setup toy/,
  ],
  [
    'no machine',
    ['train', '--setup', 'toy', '--dry-run', '--hosts', '0'],
    2,
    /--hosts 0: give a whole number of at least 1/,
  ],
  [
    'machines without a dry run',
    train('@/reward.yaml', '--hosts', '64'),
    2,
    /--hosts 64 estimates .* needs --dry-run/,
  ],
  [
    'a network without machines',
    train('@/reward.yaml', '--dry-run', '--bandwidth', '50'),
    2,
    /--bandwidth 50 needs/,
  ],
  [
    'no compilation without machines',
    train('@/reward.yaml', '--dry-run', '--no-compile'),
    2,
    /--no-compile needs/,
  ],
  [
    'a reward of evaluations that trains, too',
    train('@/rewarded-twice.yaml'),
    2,
    /rewarded-twice\.yaml:7: setup\.evalRewards\.jpeg_compressibility: trains as setup\.reward\.jpeg_compressibility/,
  ],
  ['a reward module that is not there', train('@/reward.yaml', '--dry-run'), 2, /none\.mjs cannot be loaded/],
  [
    'fewer prompts than an epoch wants',
    train('@/few.yaml'),
    2,
    /few\.yaml:3: sampling\.promptsPerEpoch: 9 prompts per epoch, but there are only 1/,
  ],
  [
    'an override that is none',
    train('-s', 'epochs'),
    2,
    /epochs: an override looks like training\.learningRate=1e-4/,
  ],
  [
    'an override of an option within a number',
    train('-s', 'epochs=3', '-s', 'epochs.x=1'),
    2,
    /epochs is not a group of options/,
  ],
  [
    'a checkpoint that is not there',
    ['eval', '--backend', 'cpu', '--checkpoint', '@/none'],
    2,
    /none does not exist; the checkpoints of a run are in its folder checkpoints/,
  ],
  [
    'a checkpoint to resume from that is not there',
    train('--resume', '@/none'),
    2,
    /none does not exist; the checkpoints of a run/,
  ],
  ['a port in use', train('--ui', '--ui-port', 'PORT'), 2, /--ui: .*\d+/],
  [
    'a flag that is misspelt',
    train('--dry-rum'),
    2,
    /unknown option '--dry-rum'\s+\(Did you mean --dry-run\?\)/,
  ],
  ['a command that is misspelt', ['trian'], 2, /unknown command 'trian'\s+\(Did you mean train\?\)/],
  ['no command', [], 2, /Usage: flow-grpo/],
  ['too many arguments', ['doctor', 'cpu'], 2, /too many arguments/],
  ['a page of what is no run', ['ui', '@/no-run'], 2, /no-run is not the folder of a run: .*metrics\.jsonl/],
  ['a page of nothing', ['ui', '@/none'], 2, /none does not exist; give the folder of a run/],
  ['a page of a file', ['ui', '@/file.txt'], 2, /file\.txt is a file; give the folder of a run/],
  [
    'an inspection of what is no run',
    ['inspect', '@/no-run'],
    2,
    /no-run is not the folder of a run: .*metrics/,
  ],
  ['an inspection of nothing', ['inspect', '@/none'], 2, /none does not exist; give the folder of a run/],
  [
    'an inspection of a run without an epoch',
    ['inspect', '@/run-empty'],
    2,
    /run-empty\/metrics\.jsonl has no epoch in it/,
  ],
  [
    'an inspection over no number of epochs',
    ['inspect', '@/run-empty', '--window', 'wide'],
    2,
    /hacking\.window: .*expected number/,
  ],
  [
    'a comparison with what is not there',
    ['compare', '@/none.yaml', '--backend', 'cpu'],
    2,
    /none\.yaml cannot be read/,
  ],
  ['an argument that is missing', ['report'], 2, /missing required argument 'folder'/],
  ['a shell that is not there', ['completion', 'powershell'], 2, /Allowed choices are bash, zsh, fish/],
  [
    'a project of an unknown kind',
    ['init', '@/new', '--setup', 'sdxl'],
    2,
    /--setup sdxl: give toy, module, showo2, z-image/,
  ],
  [
    'a project without a terminal to ask on',
    ['init', '@/new'],
    2,
    /--setup: give toy, .*init can only ask in a terminal/,
  ],
  [
    'a project with what does not belong together',
    ['init', '@/new', '--setup', 'toy', '--reward', 'ocr'],
    2,
    /--setup toy has a reward and prompts of its own/,
  ],
  [
    'a project into a file',
    ['init', '@/file.txt', '--setup', 'toy'],
    1,
    /file\.txt: this is a file, not a folder; choose another/,
  ],
  [
    'a project below a file',
    ['init', '@/file.txt/new', '--setup', 'toy'],
    1,
    /file\.txt\/new.*: part of this path is a file/,
  ],
];

describe('flow-grpo says what is wrong, what to do, and ends with the right code', () => {
  it.each(CASES)('%s', async (_, args, code, message) => {
    const ended = await run(...args.map((arg) => (arg === 'PORT' ? String(port()) : arg)));
    expect(ended.text).toMatch(message);
    expect(ended.code).toBe(code);
    expect(ended.text).not.toMatch(/\n\s+at .*:\d+/); // no stack
  });

  it('writes a project once', async () => {
    expect((await run('init', '@/once', '--setup', 'toy')).code).toBe(0);
    const again = await run('init', '@/once', '--setup', 'toy');
    expect(again.text).toMatch(/once\/run\.yaml: there already; --force replaces/);
    expect(again.code).toBe(2);
  });
});

describe('describeFailure', () => {
  const system = (code: string, more = {}) =>
    Object.assign(new Error(`${code}: refused`), { code, syscall: 'open', ...more });

  it.each([
    [new ConfigError('epochs: 3'), EXIT.usage, /^epochs: 3$/],
    [new InterruptedError('interrupted before'), EXIT.interrupted, /^interrupted before$/],
    [system('EACCES', { path: '/root/x' }), EXIT.failed, /^\/root\/x: permission denied.* \(EACCES\)$/],
    [system('EROFS', { path: '/mnt/x' }), EXIT.failed, /read-only; choose another location/],
    [system('EMFILE'), EXIT.failed, /ulimit -n/],
    [
      system('EADDRINUSE', { address: '0.0.0.0', port: 80 }),
      EXIT.failed,
      /^0\.0\.0\.0:80: the port is in use/,
    ],
    [system('ENOSPC'), EXIT.failed, /the disk is full. Existing checkpoints are intact/],
    [new Error('odd', { cause: new Error('why') }), EXIT.failed, /^odd\nwhy\n.*DEBUG=1/],
    [new TypeError('x is no function'), EXIT.failed, /^TypeError: x is no function/],
    ['text', EXIT.failed, /^text/],
    [undefined, EXIT.failed, /./],
  ])('puts %s into words', (error, exitCode, message) => {
    const failure = describeFailure(error, false);
    expect(failure.message).toMatch(message);
    expect(failure.exitCode).toBe(exitCode);
    expect(failure.message).not.toMatch(/\n\s+at /);
  });

  it('shows stack traces where DEBUG asks for them', () => {
    const error = new ConfigError('epochs: 3', { cause: new Error('why') });
    expect(describeFailure(error, true).message).toMatch(/^epochs: 3\n[\s\S]*\n\s+at [\s\S]*caused by .*why/);
  });

  it('shows nothing of what is for the terminal', () => {
    const { message } = describeFailure(
      new ConfigError('setup.model: \x1b]0;title\x07\x1b[2Jgone\r\u202e'),
      false,
    );
    expect(message).toBe('setup.model: gone');
  });

  it('knows how a run ended', () => {
    expect((['finished', 'diverged', 'hacked', 'interrupted'] as const).map(exitCodeOf)).toEqual([
      0, 1, 1, 130,
    ]);
  });
});
