import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openPromptSets } from './prompts';

let dataset: string;
beforeEach(async () => {
  dataset = await mkdtemp(join(tmpdir(), 'prompts-'));
  await writeFile(join(dataset, 'train.txt'), 'a cat\na dog\n');
});
afterEach(() => rm(dataset, { recursive: true }));

const texts = (prompts: readonly { prompt: string }[] | undefined) => prompts?.map(({ prompt }) => prompt);

it.each<[string, string | undefined, string | undefined, string[] | undefined]>([
  ['no test file', undefined, undefined, undefined],
  ['one that only looks like it', 'tests.txt', 'a bird\n', undefined],
  ['a text', 'test.txt', 'a bird\n', ['a bird']],
  ['metadata', 'test_metadata.jsonl', '{"prompt": "a bird", "tag": "x"}\n', ['a bird']],
  ['tabs', 'test.tsv', 'prompt\tkind\na bird\tx\n', ['a bird']],
])('a folder with %s is read', async (_, name, text, expected) => {
  if (name !== undefined) await writeFile(join(dataset, name), text!);
  const { prompts, evalPrompts } = await openPromptSets({ dataset });
  expect([texts(prompts), texts(evalPrompts)]).toEqual([['a cat', 'a dog'], expected]);
});

it.each<[string, string, string | Uint8Array, RegExp]>([
  ['in Latin-1', 'test.txt', Buffer.from('un caf\xe9\n', 'latin1'), /test\.txt: line 1 is not UTF-8/],
  ['that is empty', 'test.txt', '', /test\.txt has no prompts/],
  ['with a NUL', 'test.txt', 'a\0cat\n', /test\.txt: line 1 holds a NUL character/],
  ['without the column', 'test.csv', 'text\na bird\n', /test\.csv: no column "prompt"/],
  ['that is half written', 'test.jsonl', '{"prompt": "a bi', /test\.jsonl: record 1 is not JSON/],
  ['with half a character', 'test.jsonl', '{"prompt": "a \\ud800"}\n', /test\.jsonl: record 1: .*surrogate/],
  ['with an open quote', 'test.csv', 'prompt\n"a bird\n', /test\.csv: the double quote of line 2/],
  ['that is no Parquet', 'test.parquet', 'PAR0', /setup\.dataset: /],
])('a test file %s is an error, and no run without evaluations', async (_, name, bytes, message) => {
  await writeFile(join(dataset, name), bytes);
  await expect(openPromptSets({ dataset })).rejects.toThrow(message);
});
