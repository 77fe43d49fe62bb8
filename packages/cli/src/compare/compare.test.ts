import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { main } from '../commands/main';
import { toySetup } from '../setup/toy';
import { comparisonTable } from './page';
import { type ComparedRun, compareRuns } from './statistics';

/** A run evaluated at the start and after each epoch of 10 images and 2 seconds. */
const runOf = (setting: string, seed: number, ...values: (readonly number[])[]): ComparedRun => ({
  setting,
  seed,
  reason: 'finished',
  epochs: values.slice(1).map((_, epoch) => ({
    ...{ epoch, updates: 0, samples: 10 * (epoch + 1), reward: 0, seconds: 2, samplesPerSecond: 5 },
    'images.diversity': 0.3,
  })),
  evaluations: values.map((reward, epoch) => ({
    ...{ epoch, reward: 0, seconds: 1, details: {}, perImage: { reward } },
  })),
});

describe('compareRuns', () => {
  const runs = [
    runOf('a', 0, [0, 0], [0, 1]),
    runOf('a', 1, [0, 0], [1, 0]),
    runOf('b', 0, [0, 0], [1, 2]),
    runOf('b', 1, [0, 0], [3, 2]),
  ];

  it('gives means over seeds and paired differences with their errors', () => {
    const [a, b] = compareRuns(runs, 'reward', [0.25, 9]);
    expect(a).toMatchObject({ setting: 'a', seeds: [0, 1], end: { mean: 0.5, error: 0 }, failed: {} });
    expect(a).not.toHaveProperty('difference');
    expect(b!.end).toEqual({ mean: 2, error: 0.5 });
    // Differences by seed are 1 and 2; by image 1, 1 and 2, 2.
    expect(b!.difference).toEqual({ mean: 1.5, error: 0.5, overImages: 0 });
    expect(a!.reached).toEqual([
      { level: 0.25, images: 5, seconds: 1 },
      { level: 9, images: Number.NaN, seconds: Number.NaN },
    ]);
    expect(b!.curve).toEqual([
      { images: 0, seconds: 0, value: 0 },
      { images: 10, seconds: 2, value: 2 },
    ]);
    expect(a).toMatchObject({ imagesPerSecond: 5, diversity: expect.closeTo(0.3), nearBlack: Number.NaN });
  });

  it('has the error over images where there is one seed', () => {
    const [a, b] = compareRuns(
      runs.filter(({ seed }) => seed === 0),
      'reward',
    );
    expect(a!.end).toEqual({ mean: 0.5, error: 0.5 });
    expect(b!.difference).toEqual({ mean: 1, error: 0, overImages: 0 });
  });

  it('says which run lacks what', () => {
    expect(() => compareRuns(runs, 'strict')).toThrow(
      /a, seed 0: its evaluations have no strict; they have reward/,
    );
    const other = [runs[0]!, runOf('b', 0, [0], [1])];
    expect(() => compareRuns(other, 'reward')).toThrow(
      /b, seed 0: evaluated on 1 images, the first setting on 2/,
    );
    expect(() => compareRuns([{ ...runs[0]!, evaluations: [] }], 'reward')).toThrow(/needs evalPrompts/);
  });

  it('makes a table of it, failed runs named', () => {
    const failed = runs.map((run) =>
      run.setting === 'b' && run.seed === 1 ? { ...run, reason: 'diverged' } : run,
    );
    const table = comparisonTable({ measure: 'reward', summaries: compareRuns(failed, 'reward', [0.25]) });
    const lines = table.split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toContain('| images to 0.25 | seconds to 0.25 |');
    expect(lines[3]).toContain('| b | 2 (seed 1 diverged) | 0 ± 0 | 2 ± 0.5 | 1.5 ± 0.5 (± 0 over images) |');
  });
});

/** A setup and what it imports, without packages: the policy is that of the toy. */
const REWARD =
  'export const reward = async (images) => [...(await images.data())].filter((_, i) => i % 3 === 0).map((x) => 1 - x * x);';
const SETUP = `import { reward } from './reward.mjs';
export default () => ({ ...globalThis.toySetup(), scorer: reward });`;

describe('flow-grpo compare', () => {
  let folder: string;
  let printed: string[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'compare-'));
    printed = [];
    const keep = (...texts: unknown[]) => void printed.push(texts.join(' '));
    vi.spyOn(console, 'log').mockImplementation(keep);
    vi.spyOn(console, 'error').mockImplementation(keep);
    vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
    process.exitCode = undefined;
    await rm(folder, { recursive: true });
  });
  const yaml = (rate: number) =>
    `saveEvery: 100\nevalEvery: 2\nsampling: { numSteps: 4, shift: 1, promptsPerEpoch: 4, samplesPerPrompt: 4 }\ntraining: { learningRate: ${rate} }\ngrpo: { clipRange: 0.2 }\n`;

  it('trains settings on the same numbers, and repeats nothing', async () => {
    for (const [name, rate] of [
      ['slow', 0.001],
      ['same', 0.001],
      ['fast', 0.01],
    ] as const)
      await writeFile(join(folder, `${name}.yaml`), yaml(rate));
    const output = join(folder, 'out');
    const files = ['slow', 'same', 'fast'].map((name) => join(folder, `${name}.yaml`));
    const flags = ['--seeds', '0,1', '--images', '60', '-o', output, '--backend', 'cpu'];
    const run = (...more: string[]) => main(['node', 'flow-grpo', 'compare', ...files, ...flags, ...more]);
    await run();
    expect([process.exitCode, printed.at(-1)]).toEqual([undefined, expect.stringMatching(/^\| setting/)]);
    const { summaries } = JSON.parse(await readFile(join(output, 'compare.json'), 'utf8'));
    const [slow, same, fast] = summaries;
    // Random numbers are the same: equal settings are equal to the bit.
    expect(same.difference).toEqual({ mean: 0, error: 0, overImages: 0 });
    expect(same.end).toEqual(slow.end);
    expect(fast.start).toEqual(slow.start);
    expect(fast.difference.mean).toBeGreaterThan(0);
    expect(fast.curve.map(({ images }: { images: number }) => images)).toEqual([0, 32, 64]);
    const page = await readFile(join(output, 'compare.html'), 'utf8');
    expect(page).toContain('Over training images');
    expect(page).toContain('<svg');
    expect(printed.at(-1)).toMatch(/^\| setting \| seeds \|[\s\S]*\n\| fast \| 2 \|/);
    const metrics = join(output, 'fast/seed-1/metrics.jsonl');
    const before = (await stat(metrics)).mtimeMs;
    await run('--json');
    expect((await stat(metrics)).mtimeMs).toBe(before);
    expect(JSON.parse(printed.at(-1)!)).toEqual({ measure: 'reward', summaries });
    expect(JSON.parse(await readFile(join(output, 'compare.json'), 'utf8')).summaries).toEqual(summaries);
  });

  it.each<[string, (output: string) => Promise<void>, RegExp | undefined]>([
    [
      'that were made of another module',
      () => writeFile(join(folder, 'reward.mjs'), REWARD.replace('1 -', '2 -')),
      /made with another configuration \(setup\.module: /,
    ],
    [
      'whose result is damaged',
      (output) => writeFile(join(output, 'mine/seed-0/result.json'), '{"rea'),
      undefined,
    ],
    [
      'whose result is none',
      (output) => writeFile(join(output, 'mine/seed-0/result.json'), 'null'),
      undefined,
    ],
    [
      'whose evaluations are damaged',
      (output) => writeFile(join(output, 'mine/seed-0/evaluations.jsonl'), '{"epoch": 1, "reward": 0}\n'),
      /evaluations\.jsonl holds a line .* epoch 1: details: /,
    ],
  ])('takes no results %s for those asked for', async (_, change, message) => {
    vi.stubGlobal('toySetup', toySetup); // a module here imports nothing that is not built
    await writeFile(join(folder, 'reward.mjs'), REWARD);
    await writeFile(join(folder, 'setup.mjs'), SETUP);
    await writeFile(join(folder, 'mine.yaml'), `${yaml(0.001)}setup: ./setup.mjs\n`);
    const output = join(folder, 'out');
    const run = () =>
      main(
        ['node', 'flow-grpo', 'compare', join(folder, 'mine.yaml'), '-o', output].concat([
          '--images',
          '16',
          '--backend',
          'cpu',
        ]),
      );
    await run();
    expect(process.exitCode).toBeUndefined();
    const [table] = printed.slice(-1);
    await change(output);
    await run();
    if (message === undefined) expect(printed.at(-1)).toBe(table);
    else expect([process.exitCode, printed.at(-1)]).toEqual([2, expect.stringMatching(message)]);
  });

  it('refuses what cannot be compared, and numbers that are none', async () => {
    await writeFile(join(folder, 'a.yaml'), yaml(0.001));
    const file = join(folder, 'a.yaml');
    const fails = async (args: readonly string[], message: RegExp) => {
      await main(['node', 'flow-grpo', 'compare', ...args, '-o', folder, '--backend', 'cpu']);
      expect(process.exitCode).toBe(2);
      expect(printed.at(-1)).toMatch(message);
    };
    await fails([file, file], /two files are called a/);
    await fails([file, '--seeds', '0,x'], /--seeds 0,x: "x" is not a whole number of at least 0/);
    await fails([file, '--seeds', '0,,1'], /--seeds 0,,1: "" is not a whole number/);
    await fails([file, '--images', '0'], /--images 0: "0" is not a whole number of at least 1/);
    await fails([file, '--images', '1,2'], /--images 1,2: "1,2" is not a whole number/);
    await fails([file, '--reach', '0.5,high'], /--reach 0.5,high: "high" is not a number/);
    await fails([join(folder, 'none.yaml')], /none.yaml cannot be read/);
  });
});
