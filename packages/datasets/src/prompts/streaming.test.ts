// @own-process: a child's largest memory begins at that of the process that starts it.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MIB = 2 ** 20;
/** What a process may hold that reads the files below, each several times as large. */
const HEAP_MIB = 32;
const GROWTH_MIB = 80;
const RECORDS = 100_000;
const WORDS = 'a very long prompt about many things '.repeat(50);

const folder = mkdtempSync(join(tmpdir(), 'streaming-'));
const program = join(folder, 'read.mjs');

/** Reads a whole file in order, then some of it at random, and tells what it saw and the memory it took. */
const READER = `
import { openPrompts } from './open';
const before = process.memoryUsage().rss;
const set = await openPrompts(process.argv[2]!);
let count = 0;
let wrong = 0;
for await (const { prompt } of set) if (!prompt.startsWith(\`\${count++} \`)) wrong++;
for (let i = 0; i < 500; i++) {
  const at = (i * 7919) % set.length;
  if (!(await set.get(at)).prompt.startsWith(\`\${at} \`)) wrong++;
}
await set.close();
const peak = process.resourceUsage().maxRSS * 1024;
console.log(JSON.stringify({ length: set.length, count, wrong, growth: peak - before }));
`;

beforeAll(async () => {
  await build({
    stdin: { contents: READER, loader: 'ts', resolveDir: fileURLToPath(new URL('.', import.meta.url)) },
    outfile: program,
    bundle: true,
    format: 'esm',
    platform: 'node',
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes numbered records, some thousands at a time. */
function write(name: string, record: (i: number) => string, header = ''): string {
  const path = join(folder, name);
  writeFileSync(path, header);
  const file = openSync(path, 'a');
  for (let at = 0; at < RECORDS; at += 5000) {
    writeSync(file, Array.from({ length: 5000 }, (_, i) => `${record(at + i)}\n`).join(''));
  }
  closeSync(file);
  return path;
}

describe('a file several times as large as the memory of its reader', () => {
  it.each([
    ['lines.txt', (i: number) => `${i} ${WORDS}`, ''],
    ['rows.jsonl', (i: number) => JSON.stringify({ prompt: `${i} ${WORDS}`, serial: i }), ''],
    ['rows.csv', (i: number) => `${i},"${i} ${WORDS}\n""quoted"""`, 'serial,prompt\n'],
  ])('is read in order and at random: %s', (name, record, header) => {
    const path = write(name, record, header);
    expect(statSync(path).size).toBeGreaterThan(2 * GROWTH_MIB * MIB);
    const told = execFileSync(process.execPath, [`--max-old-space-size=${HEAP_MIB}`, program, path]);
    const { growth, ...seen } = JSON.parse(String(told)) as { growth: number };
    expect(seen).toEqual({ length: RECORDS, count: RECORDS, wrong: 0 });
    expect(growth / MIB).toBeLessThan(GROWTH_MIB);
    rmSync(path);
  });
});
