import { appendFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { LiveData } from '../page/run-data';
import { writeMadeUpRun } from '../page/testing/made-up-run';
import { serveUntil } from './ui';

const OPTIONS = { port: 0, host: '127.0.0.1', allowHost: [] };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ui-command-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** The page of runs: how many epochs it has of each, and how it ends. */
async function served(runs: readonly string[]) {
  const over = new AbortController();
  let told: (url: string) => void;
  const address = new Promise<string>((resolve) => {
    told = (text) => resolve(text.split('\n')[0]!);
  });
  const serving = serveUntil(over.signal, runs, OPTIONS, (text) => told(text));
  const url = await address;
  return {
    async epochs() {
      const { runs: shown } = (await (await fetch(new URL('/data', url))).json()) as LiveData;
      return shown.map(({ name, metrics }) => [name, metrics.epoch!.length]);
    },
    async end() {
      over.abort();
      await serving;
      await expect(fetch(url)).rejects.toThrow();
    },
  };
}

const epochLine = (epoch: number) => `{"epoch":${epoch},"reward":1,"samples":1,"updates":1}\n`;

it('serves several runs, and sees what another process writes', async () => {
  const runs = ['first', 'second'].map((name) => join(folder, name));
  for (const run of runs) await writeMadeUpRun(run, { epochs: 3, evaluations: 1, side: 4 });
  const { epochs, end } = await served(runs);
  expect(await epochs()).toEqual([
    ['first', 3],
    ['second', 3],
  ]);
  await appendFile(join(runs[1]!, 'metrics.jsonl'), epochLine(3));
  await expect.poll(epochs, { timeout: 600_000 }).toEqual([
    ['first', 3],
    ['second', 4],
  ]);
  await end();
});

it('follows a run from before its first epoch', async () => {
  const run = join(folder, 'new');
  await mkdir(join(run, 'checkpoints'), { recursive: true });
  const { epochs, end } = await served([run]);
  expect(await epochs()).toEqual([['new', 0]]);
  await appendFile(join(run, 'metrics.jsonl'), epochLine(0));
  await expect.poll(epochs, { timeout: 600_000 }).toEqual([['new', 1]]);
  await end();
});

it('says which folder holds no run', async () => {
  const signal = new AbortController().signal;
  await expect(serveUntil(signal, [folder], OPTIONS, () => {})).rejects.toThrow(
    `${folder} is not the folder of a run`,
  );
});
