import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { PromptExample } from '../examples';
import { parseCsvRecord } from './csv';
import { openPrompts } from './open';
import { openParquet } from './parquet';
import { type PromptSet, promptList } from './prompt-set';
import { indexRecords } from './records';
import { splitPrompts } from './split';

const folder = mkdtempSync(join(tmpdir(), 'prompts-'));
afterAll(() => rmSync(folder, { recursive: true }));
const write = (name: string, text: string | Uint8Array) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const all = async (set: PromptSet) => {
  const examples: PromptExample[] = [];
  for await (const example of set) examples.push(example);
  await set.close();
  return examples;
};

describe('openPrompts', () => {
  it('reads lines of text: either line end, blank lines, byte order mark, no end of line', async () => {
    const path = write('a.txt', '\ufeffa cat\r\n\n  ein Käfer \n\t\nlast');
    const prompts = (await all(await openPrompts(path))).map(({ prompt }) => prompt);
    expect(prompts).toEqual(['a cat', 'ein Käfer', 'last']);
  });

  it('reads flow_grpo folders by split, metadata first', async () => {
    const record = {
      tag: 'colors',
      include: [{ class: 'cup', count: 1, color: 'red' }],
      prompt: 'a red cup',
    };
    write('train_metadata.jsonl', `${JSON.stringify(record)}\n${JSON.stringify({ ...record, prompt: 'b' })}`);
    write('train.txt', 'not this\n');
    write('test.txt', 'this\n');
    const train = await openPrompts(folder);
    expect(train.length).toBe(2);
    expect(await train.get(0)).toEqual({ prompt: 'a red cup', metadata: record });
    await train.close();
    expect(await all(await openPrompts(folder, { split: 'test' }))).toEqual([
      { prompt: 'this', metadata: {} },
    ]);
    await expect(openPrompts(folder, { split: 'other' })).rejects.toThrow(
      'no split "other" (looked for other_m',
    );
  });

  it('reads CSV with quotes, commas and line ends inside fields', async () => {
    const path = write('a.csv', 'id,caption\r\n1,"a ""big"", red\nball"\r\n2,plain\r\n');
    const set = await openPrompts(path, { promptColumn: 'caption' });
    expect(await all(set)).toEqual([
      { prompt: 'a "big", red\nball', metadata: { id: '1', caption: 'a "big", red\nball' } },
      { prompt: 'plain', metadata: { id: '2', caption: 'plain' } },
    ]);
    await expect(openPrompts(path)).rejects.toThrow('no column "prompt" among id, caption');
  });

  it.each([undefined, 1024, 999])(
    'reads Parquet over row groups, at random, in blocks of %s',
    async (block) => {
      const path = fileURLToPath(new URL('../../test/data/kites.parquet', import.meta.url));
      const set = block === undefined ? await openPrompts(path) : await openParquet(path, {}, block);
      expect(set.length).toBe(2500);
      expect(await set.read([2499, 0, 1023, 1024, 0])).toEqual(
        [2499, 0, 1023, 1024, 0].map((serial) => {
          const prompt = `${['red', 'blue', 'green', 'black'][serial % 4]} kite number ${serial}`;
          return { prompt, metadata: { prompt, serial } };
        }),
      );
      expect((await all(set)).map(({ metadata }) => metadata?.serial)).toEqual(
        Array.from({ length: 2500 }, (_, i) => i),
      );
      await expect(openPrompts(path, { promptColumn: 'text' })).rejects.toThrow('among prompt, serial');
    },
  );

  it('says which record is wrong', async () => {
    const broken = await openPrompts(write('b.jsonl', '{"prompt":"a"}\n{"prompt":\n{"prompt":3}\n[]\n'));
    await expect(broken.get(1)).rejects.toThrow('b.jsonl: record 2 is not JSON');
    await expect(broken.get(2)).rejects.toThrow('record 3: "prompt" is 3, not a string');
    await expect(broken.get(3)).rejects.toThrow('record 4 is not a JSON object');
    await expect(broken.get(4)).rejects.toThrow('indices run from 0 to 3');
    await broken.close();
    const ragged = await openPrompts(write('c.csv', 'prompt,n\na,1\nb\n'));
    await expect(ragged.get(1)).rejects.toThrow('record 2 has 1 fields, the header names 2');
    await ragged.close();
    await expect(openPrompts(write('d.csv', 'prompt\n"a'))).rejects.toThrow('never closed');
    await expect(openPrompts(write('e.txt', '\n \n'))).rejects.toThrow('has no prompts');
    await expect(openPrompts(write('f.md', 'a'))).rejects.toThrow(
      'none of .txt, .jsonl, .csv, .tsv, .parquet',
    );
    await expect(openPrompts(join(folder, 'gone.txt'))).rejects.toThrow('does not exist');
  });
});

describe('records', () => {
  it('are found across chunk borders of a file larger than one chunk', async () => {
    const lines = Array.from({ length: 40_000 }, (_, i) => `${i} ${'é'.repeat(i % 60)}`);
    const file = await indexRecords(write('long.txt', lines.join('\n')));
    expect(file.length).toBe(lines.length);
    expect(await file.read(0, file.length)).toEqual(lines);
    expect(await file.read(39_999, 40_000)).toEqual([lines[39_999]]);
    await file.close();
  });

  it('give back any CSV record that was written', () => {
    const quote = (field: string) => `"${field.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', ' ', 'é') }), { minLength: 1 }),
        (row) => {
          expect(parseCsvRecord(row.map(quote).join(','))).toEqual(row);
        },
      ),
    );
    expect(parseCsvRecord('a,,b,')).toEqual(['a', '', 'b', '']);
    expect(() => parseCsvRecord('"a"b')).toThrow('text follows');
  });
});

describe('splitPrompts', () => {
  it('puts every prompt on one side, equal prompts on the same', async () => {
    const prompts = Array.from({ length: 1000 }, (_, i) => ({ prompt: `prompt ${i % 500}` }));
    const { train, test } = await splitPrompts(promptList(prompts), 0.2);
    expect(train.length + test.length).toBe(1000);
    expect(test.length).toBeGreaterThan(140);
    expect(test.length).toBeLessThan(260);
    const held = new Set((await all(test)).map(({ prompt }) => prompt));
    expect((await all(train)).some(({ prompt }) => held.has(prompt))).toBe(false);
    await expect(splitPrompts(promptList(prompts), 1)).rejects.toThrow('between 0 and 1');
    await expect(splitPrompts(promptList(prompts.slice(0, 1)), 0.5)).rejects.toThrow(
      'no prompt of 1 falls to',
    );
  });
});
