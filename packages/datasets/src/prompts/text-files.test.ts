import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { parseGenevalMetadata } from '../geneval/metadata';
import { isBlank, strip } from './blank';
import { fromRow } from './formats';
import { openPrompts } from './open';
import { plainValues } from './plain-values';

const folder = mkdtempSync(join(tmpdir(), 'text-files-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
/** The prompts of a file with these bytes. */
async function promptsOf(extension: string, bytes: string | Uint8Array): Promise<string[]> {
  const path = join(folder, `${files++}${extension}`);
  writeFileSync(path, bytes);
  const set = await openPrompts(path);
  try {
    const prompts: string[] = [];
    for await (const { prompt } of set) prompts.push(prompt);
    return prompts;
  } finally {
    await set.close();
  }
}

/** How each format writes a list of prompts, as lines. */
const FORMATS: Record<string, (prompts: readonly string[]) => string[]> = {
  '.txt': (prompts) => [...prompts],
  '.jsonl': (prompts) => prompts.map((prompt) => JSON.stringify({ prompt })),
  '.csv': (prompts) => ['n,prompt', ...prompts.map((prompt, i) => `${i},${prompt}`)],
  '.tsv': (prompts) => ['n\tprompt', ...prompts.map((prompt, i) => `${i}\t${prompt}`)],
};
const formats = Object.keys(FORMATS);
const LINE_ENDS = { LF: '\n', 'CR LF': '\r\n', CR: '\r' };

const ENCODINGS: Record<string, (text: string) => Buffer> = {
  'UTF-8': (text) => Buffer.from(text),
  'UTF-8 with a byte order mark': (text) => Buffer.from(`\ufeff${text}`),
  'UTF-16 LE with a byte order mark': (text) => Buffer.from(`\ufeff${text}`, 'utf16le'),
  'UTF-16 BE with a byte order mark': (text) => Buffer.from(`\ufeff${text}`, 'utf16le').swap16(),
};
const PROMPTS = ['a cat', 'ein Käfer', '一只猫', 'a 🦀 on sand', 'last'];
const combinations = formats.flatMap((format) =>
  Object.keys(LINE_ENDS).flatMap((end) => Object.keys(ENCODINGS).map((encoding) => [format, end, encoding])),
);

describe('encodings and line ends', () => {
  it.each(combinations)('%s with %s in %s', async (format, end, encoding) => {
    const lines = FORMATS[format!]!(PROMPTS);
    const ended = LINE_ENDS[end as keyof typeof LINE_ENDS];
    for (const text of [lines.join(ended), lines.join(ended) + ended]) {
      expect(await promptsOf(format!, ENCODINGS[encoding!]!(text))).toEqual(PROMPTS);
    }
  });

  it.each(formats)('%s in Latin-1 is refused by name, with byte and line', async (format) => {
    const text = `${FORMATS[format]!(['a cat', 'a café']).join('\r\n')}\r\n`;
    const bytes = Buffer.from(text, 'latin1');
    const line = text.slice(0, bytes.indexOf(0xe9)).split('\r\n').length;
    await expect(promptsOf(format, bytes)).rejects.toThrow(
      `line ${line} is not UTF-8: byte 0xe9 at byte ${bytes.indexOf(0xe9)}. The file is probably Latin-1`,
    );
  });

  it.each([
    ['behind the first chunk', 2 ** 17 + 5],
    ['across the border of two chunks', 2 ** 17 - 1],
    ['in the first chunk', 1000],
  ])('finds a broken character %s', async (_, at) => {
    for (const end of ['\n', '\r', '\r\n']) {
      const line = `a cat${end}`;
      const before = line.repeat(Math.floor(at / line.length)).padEnd(at, 'x');
      const bytes = Buffer.concat([Buffer.from(before), Buffer.from([0xe4, 0xb8]), Buffer.from(`b${end}c`)]);
      const expected = `line ${before.split(end).length} is not UTF-8: byte 0xe4 at byte ${at}.`;
      await expect(promptsOf('.txt', bytes), JSON.stringify(end)).rejects.toThrow(expected);
    }
  });

  it.each([
    [
      'a character cut at the end',
      Buffer.from('a cat\n一').subarray(0, 8),
      'line 2 is not UTF-8: byte 0xe4 at byte 6',
    ],
    ['an overlong form', Buffer.from([0x61, 0xc0, 0x80, 0x62]), 'byte 0xc0 at byte 1'],
    ['a surrogate', Buffer.from([0x61, 0xed, 0xa0, 0x80]), 'byte 0xed at byte 1'],
    ['UTF-16 without a mark', Buffer.from('a cat\n', 'utf16le'), 'line 1 holds a NUL character at byte 1'],
    ['UTF-32 with a mark', Buffer.from([0xff, 0xfe, 0, 0, 0x61, 0, 0, 0]), 'holds a NUL character'],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]), 'is not UTF-8: byte 0x8b at byte 1'],
    ['half a UTF-16 unit', Buffer.from([0xff, 0xfe, 0x61, 0, 0x62]), 'ends within a character, at byte 4'],
    [
      'half a UTF-16 pair',
      Buffer.from([0xff, 0xfe, 0x0a, 0, 0x3d, 0xd8, 0x61, 0]),
      'line 2 is not UTF-16: half a character at byte 4',
    ],
  ])('refuses %s', async (_, bytes, message) => {
    await expect(promptsOf('.txt', bytes)).rejects.toThrow(message);
  });
});

/** Characters that show nothing: spaces of all kinds, zero-width ones, marks and fillers, controls. */
const INVISIBLE = [
  ...['\t', '\v', '\f', ' ', '\u001c', '\u0085', '\u00a0', '\u1680', '\u2003', '\u2028', '\u202f', '\u205f'],
  ...['\u3000', '\u00ad', '\u180e', '\u200b', '\u200d', '\u200e', '\u2060', '\ufeff', '\u3164', '\ufe0f'],
];

describe('prompts that say nothing', () => {
  it.each(INVISIBLE.map((character) => [`U+${character.charCodeAt(0).toString(16)}`, character]))(
    'a line of %s is no record',
    async (_, character) => {
      const blank = `${character} ${character}`;
      expect(isBlank(blank)).toBe(true);
      for (const format of formats) {
        const [first, ...rest] = FORMATS[format]!(['a', 'b']);
        // Tabs are the delimiters of .tsv: a line of them is a record of empty fields.
        if (format === '.tsv' && character === '\t') continue;
        const text = [first, blank, ...rest, blank].join('\n');
        expect(await promptsOf(format, text), format).toEqual(['a', 'b']);
      }
      await expect(promptsOf('.jsonl', JSON.stringify({ prompt: blank }))).rejects.toThrow('prompt is empty');
      await expect(promptsOf('.csv', `n,prompt\n1,"${blank}"`)).rejects.toThrow(
        'record 1: the prompt is empty',
      );
      expect(() => fromRow({ prompt: blank }, 'prompt', 'a.parquet: row 3')).toThrow(
        'row 3: the prompt is empty',
      );
    },
  );

  it('strips what Python strips and nothing else', () => {
    expect(strip('\u00a0\u3000\u001c\u0085 a\u00a0b \u2028\n')).toBe('a\u00a0b');
    expect(strip('\u200ba\ufeff')).toBe('\u200ba\ufeff');
    expect(strip(' '.repeat(10))).toBe('');
  });

  it('refuses half a surrogate pair in JSON', async () => {
    await expect(promptsOf('.jsonl', '{"prompt":"a \\ud83e"}')).rejects.toThrow('half of a surrogate pair');
    expect(await promptsOf('.jsonl', '{"prompt":"a \\ud83e\\udd80"}')).toEqual(['a 🦀']);
  });
});

describe('separated values', () => {
  // The second column is what Python's csv module gives.
  it.each([
    [
      'an inch mark in two rows',
      'prompt\na 12" ruler\na 5" disk\na cat\n',
      ['a 12" ruler', 'a 5" disk', 'a cat'],
    ],
    ['an inch mark in one row', 'prompt\na 12" ruler\na cat\n', ['a 12" ruler', 'a cat']],
    ['quotes behind a space', 'prompt\n "a" b\n', [' "a" b']],
    ['quotes in a middle field', 'n,prompt\n7",an 8" pan\n', ['an 8" pan']],
    ['doubled quotes', 'prompt\n"a ""b"" c"\n', ['a "b" c']],
    ['line ends within quotes', 'prompt\n"a\r\nb\rc\nd"\r\ne\r\n', ['a\r\nb\rc\nd', 'e']],
    ['doubled quotes beside line ends', 'prompt\n"""\n"""\nx\n', ['"\n"', 'x']],
    ['empty fields', 'a,prompt,b\n,x,\n', ['x']],
  ])('reads %s', async (_, text, prompts) => {
    expect(await promptsOf('.csv', text)).toEqual(prompts);
    expect(await promptsOf('.tsv', text.replaceAll(',', '\t'))).toEqual(prompts);
  });

  it.each([
    [
      'text behind a closing quote',
      'prompt\n"12" ruler\na cat\n',
      'record 1: text follows a closing double quote',
    ],
    ['an open quote', 'prompt\na\n"b\nc\n', 'the double quote of line 3 is never closed'],
    ['too few fields', 'a,prompt\nx\n', 'record 1 has 1 fields, the header names 2'],
    ['a column twice', 'prompt,prompt\na,b\n', 'names the column "prompt" twice'],
  ])('refuses %s', async (_, text, message) => {
    await expect(promptsOf('.csv', text)).rejects.toThrow(message);
  });
});

describe('Parquet values', () => {
  it('are those of JSON: GenEval metadata with 64-bit counts', async () => {
    const set = await openPrompts(
      fileURLToPath(new URL('../../test/data/geneval-int64.parquet', import.meta.url)),
    );
    const { metadata } = await set.get(0);
    await set.close();
    expect(JSON.parse(JSON.stringify(metadata))).toEqual(metadata);
    expect(parseGenevalMetadata(metadata).include[0]!.count).toBe(2);
  });

  it('keep every digit of integers that a number cannot hold', () => {
    const value = { a: 5n, b: [-(2n ** 53n), 2n ** 53n - 1n, { c: 2n ** 63n - 1n }], d: null, e: 'x' };
    expect(plainValues(value)).toEqual({
      ...{ a: 5, b: ['-9007199254740992', 2 ** 53 - 1, { c: '9223372036854775807' }], d: null, e: 'x' },
    });
  });
});
