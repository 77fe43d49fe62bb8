/** Folders of runs that are damaged, edited or somebody else's: each file is named, and none is read from elsewhere. */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeRunReport } from '../report/run-report';
import { readRun } from './read-run';
import { readSample } from './run-records';
import { serveRuns } from './server';
import { writeMadeUpRun } from './testing/made-up-run';

const SECRET = 'not to be shown';
let parent: string;
let folder: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'records-'));
  folder = join(parent, 'run');
  await writeMadeUpRun(folder, { epochs: 3, evaluations: 2 });
  await writeFile(join(parent, 'secret.json'), SECRET);
});
afterEach(() => rm(parent, { recursive: true }));

const file = (name: string) => join(folder, name);
const evaluation = { epoch: 1, reward: 0.5, seconds: 1, details: {} };
const strip = { file: 'samples/a.png', width: 1, height: 1, prompts: ['a'], rewards: [1] };

describe('a line that is no record', () => {
  it.each<[string, unknown, RegExp]>([
    ['metrics', { epoch: '1' }, /metrics\.jsonl holds a line .*its epoch is not a number/],
    ['metrics', {}, /metrics\.jsonl .*its epoch is not a number/],
    ['evaluations', { epoch: 1 }, /evaluations\.jsonl .*epoch 1: reward: /],
    ['evaluations', { ...evaluation, details: null }, /evaluations\.jsonl .*details: /],
    ['evaluations', { ...evaluation, details: { a: 'x' } }, /evaluations\.jsonl .*details\.a: /],
    ['evaluations', { ...evaluation, samples: {} }, /evaluations\.jsonl .*samples\.file: /],
    ['evaluations', { ...evaluation, samples: { ...strip, prompts: 'a' } }, /samples\.prompts: /],
    ['evaluations', { ...evaluation, samples: { ...strip, rewards: [{}] } }, /samples\.rewards\.0: /],
    ['evaluations', { ...evaluation, all: { prompts: 'samples/p.json' } }, /all\.rewards: /],
    ...[
      '../secret.json',
      '/etc/passwd',
      'samples/../../secret.json',
      'samples/..',
      'samples\\..\\x',
      'samples/',
    ].flatMap((elsewhere): [string, unknown, RegExp][] => [
      [
        'evaluations',
        { ...evaluation, all: { prompts: elsewhere, rewards: [] } },
        /all\.prompts: must be a file in/,
      ],
      [
        'evaluations',
        { ...evaluation, samples: { ...strip, file: elsewhere } },
        /samples\.file: must be a file in/,
      ],
    ]),
    ['histograms', { epoch: 1, advantages: 5 }, /histograms\.jsonl .*advantages: /],
    [
      'histograms',
      { epoch: 1, rewards: { low: 0, high: 1, counts: 'x' } },
      /histograms\.jsonl .*rewards\.counts: /,
    ],
  ])('of %s, %j, is named with its file', async (name, record, message) => {
    await writeFile(file(`${name}.jsonl`), `${JSON.stringify(record)}\n`);
    await expect(readRun(folder)).rejects.toThrow(message);
    await expect(writeRunReport(folder)).rejects.toThrow(message);
    const server = await serveRuns([folder]);
    const answer = await fetch(new URL('/data', server.url));
    expect([answer.status, await answer.text()]).toEqual([500, expect.not.stringContaining(SECRET)]);
    await server.close('over');
  });
});

describe('a run is read without', () => {
  it.each<[string, () => Promise<unknown>]>([
    ['its configuration', () => rm(file('config.json'))],
    ['a configuration that is JSON', () => writeFile(file('config.json'), '{"epo')],
    ['a configuration that is a record', () => writeFile(file('config.json'), 'null')],
    ['an outcome', () => writeFile(file('outcome.json'), 'null')],
    ['an outcome that is JSON', () => writeFile(file('outcome.json'), '{')],
    ['its images', () => rm(file('samples'), { recursive: true })],
    ['evaluations', () => rm(file('evaluations.jsonl'))],
    ['histograms', () => rm(file('histograms.jsonl'))],
  ])('%s', async (_, change) => {
    await change();
    expect((await readRun(folder)).metrics.epoch).toEqual([0, 1, 2]);
    await writeRunReport(folder, { out: join(parent, 'out') });
  });

  it.each(['not JSON', 'null', '{"prompts": [1], "kinds": []}', ''])(
    'a list of prompts: %j',
    async (text) => {
      await writeFile(file('samples/p.json'), text);
      const all = { prompts: 'samples/p.json', rewards: [0.5] };
      await writeFile(file('evaluations.jsonl'), `${JSON.stringify({ ...evaluation, all })}\n`);
      const [read] = (await readRun(folder)).evaluations;
      expect([read!.epoch, read!.scores]).toEqual([1, undefined]);
    },
  );
});

it('a link out of the folder is no image of the run: not served, not copied, not put into a page', async () => {
  await symlink(join(parent, 'secret.json'), file('samples/secret.png'));
  await mkdir(file('samples/folder.png'));
  await symlink(file('samples'), join(parent, 'elsewhere'));
  const samples = { ...strip, file: 'samples/secret.png' };
  await writeFile(file('evaluations.jsonl'), `${JSON.stringify({ ...evaluation, samples })}\n`);
  for (const name of ['secret.png', 'folder.png', 'none.png', '..', '.', '../secret.json', '\0'])
    expect(await readSample(folder, name)).toBeUndefined();
  const server = await serveRuns([folder]);
  for (const name of ['secret.png', 'folder.png'])
    expect((await fetch(new URL(`/runs/0/samples/${name}`, server.url))).status).toBe(404);
  await server.close('over');
  await writeRunReport(folder, { out: join(parent, 'copy') });
  await expect(readFile(join(parent, 'copy/runs/0/samples/secret.png'))).rejects.toThrow(/ENOENT/);
  const page = await readFile(
    await writeRunReport(folder, { out: join(parent, 'one'), singleFile: true }),
    'utf8',
  );
  expect(page).not.toContain(Buffer.from(SECRET).toString('base64'));
});
