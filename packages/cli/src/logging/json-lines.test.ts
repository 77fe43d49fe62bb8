import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keepLines, readJsonLines } from './json-lines';
import { runLog } from './run-log';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lines-'));
  file = join(folder, 'metrics.jsonl');
});
afterEach(() => rm(folder, { recursive: true }));

interface Row {
  readonly epoch: number;
}
const row = (epoch: number) => `{"epoch": ${epoch}, "reward":  1e-1}\n`;
const keep = async (most: number) => {
  const said: string[] = [];
  await keepLines<Row>(
    file,
    ({ epoch }) => epoch <= most,
    (message) => said.push(message),
  );
  return said;
};
const text = () => readFile(file, 'utf8');

describe('lines of a run', () => {
  it('stay to the byte, but for those that will be written again', async () => {
    await writeFile(file, row(0) + row(1) + row(2));
    expect(await keep(1)).toEqual([]);
    expect(await text()).toBe(row(0) + row(1));
    expect(await readdir(folder)).toEqual(['metrics.jsonl']);
  });

  it.each(['{"epoch": 2, "rew', '{', '"', '\0\0\0'])('lose a last one that a kill cut: %j', async (cut) => {
    await writeFile(file, row(0) + row(1) + cut);
    expect(await readJsonLines(file)).toHaveLength(2);
    expect(await keep(5)).toEqual([]);
    expect(await text()).toBe(row(0) + row(1));
    expect(await readdir(folder)).toEqual(['metrics.jsonl']);
  });

  it.each([
    ['half a record', '{"epoch": 1, "rew\n'],
    ['two in one', '{"epoch": 1}{"epoch": 1}\n'],
    ['zeros of a block that was not written', '\0\0\0\0\n'],
    ['null', 'null\n'],
    ['a number', '5\n'],
    ['a list', '[1]\n'],
    ['words', 'Segmentation fault\n'],
    ['a record of no epoch', '{"reward": 1}\n'],
    ['a record of an odd epoch', '{"epoch": "1"}\n'],
    ['a record of an epoch without end', '{"epoch": 1e999}\n'],
  ])('that are damaged are set aside, and it is said: %s', async (_, broken) => {
    const before = row(0) + broken + row(2);
    await writeFile(file, before);
    expect(await keep(9)).toEqual([
      expect.stringMatching(/metrics\.jsonl is damaged: 1 line.* \(2\)\..*damaged$/),
    ]);
    expect(await text()).toBe(row(0) + row(2));
    expect(await readFile(`${file}.damaged`, 'utf8')).toBe(before);
    // Damage on another day does not cost the first copy.
    await writeFile(file, row(0) + broken);
    await keep(9);
    expect((await readdir(folder)).sort()).toEqual([
      'metrics.jsonl',
      'metrics.jsonl.damaged',
      'metrics.jsonl.damaged-2',
    ]);
  });

  it('that cannot be read stop the run rather than vanish', async () => {
    await expect(readJsonLines(folder)).rejects.toThrow('EISDIR');
    expect(await readJsonLines(join(folder, 'none.jsonl'))).toEqual([]);
  });

  it('of every log of a run are kept so', async () => {
    const names = ['metrics', 'histograms', 'evaluations'];
    for (const name of names) await writeFile(join(folder, `${name}.jsonl`), `${row(0)}oops\n${row(1)}`);
    const said: string[] = [];
    await runLog(folder, 2, (message) => said.push(message));
    expect(said).toHaveLength(names.length);
    for (const name of names) {
      expect(await readFile(join(folder, `${name}.jsonl`), 'utf8')).toBe(row(0) + row(1));
      expect(await readFile(join(folder, `${name}.jsonl.damaged`), 'utf8')).toContain('oops');
    }
  });
});
