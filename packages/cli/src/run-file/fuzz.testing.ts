/** Damaged run files and overrides; a function of a number. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { pick, type Random, randomFrom, secondsSince } from '@flow-grpo/test-support/fuzz';
import { readRunFile } from './read';

/** No single file may take more of the processor than this. */
const MAX_SECONDS = 5;

const example = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../../../../examples/${name}`, import.meta.url)), 'utf8');

/** Undamaged files: the recipes, and one with what YAML has besides. */
const originals = (): string[] => [
  ...['pickscore', 'geneval', 'ocr'].map((name) => example(`pickscore-4gpu/${name}.yaml`)),
  example('quickstart/pretrain.yaml'),
  `base: &base { clipRange: 1e-3 }
epochs: 3
setup: { kind: module, path: ./setup.mjs, options: { a: [1, 2, { b: null }], c: "x" } }
sampling:
  rule: sde
  window: { kind: random, size: 2 }
training: { learningRate: 1e-4 }
ema: { enabled: true }
wandb: { project: toys, tags: [a, b] }
`,
];

/** Values and marks on which readers stumble. */
const SCALARS = [
  ...[
    '',
    'null',
    '~',
    'true',
    '[]',
    '{}',
    '[[[[]]]]',
    '-1',
    '0',
    '1e999',
    '-.inf',
    '.nan',
    '0x10',
    '0o7',
    '1_000',
  ],
  ...[
    '9007199254740993',
    '2026-01-01',
    '"',
    "'",
    '|',
    '>',
    '- a',
    '? b',
    ': c',
    '#',
    '%YAML 1.2',
    '---',
    '...',
  ],
  ...[
    '&a [*a]',
    '*base',
    '<<: *base',
    '!!js/function "1"',
    '!!binary aGk=',
    '!!set {a}',
    '!<tag:x> 1',
    '!!float x',
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '\u0000',
    '\ufeff',
    '\u001b[2J',
    '\t',
    '\u2028',
  ],
  ...[
    'cosine',
    'sde',
    'grpo',
    './reward.mjs',
    '../x',
    'a'.repeat(5000),
    '[1, '.repeat(500),
    '{a: '.repeat(500),
  ],
];

/** Ten levels of ten aliases: 10^10 leaves. */
const BOMB = [
  'a0: &a0 [x, x, x, x, x, x, x, x, x, x]',
  ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(', ')}]`),
].join('\n');

function damage(original: string, random: Random): string {
  let lines = original.split('\n');
  for (let edits = 1 + random(4); edits > 0 && lines.length > 0; edits--) {
    const at = random(lines.length);
    const line = lines[at]!;
    const other = lines[random(lines.length)]!;
    const cut = random(line.length + 1);
    switch (random(9)) {
      case 0:
        lines[at] = line.replace(/:.*/, () => `: ${pick(random, SCALARS)}`);
        break;
      case 1:
        lines[at] = line.replace(/[\w$]+(?=:)/, () => pick(random, SCALARS));
        break;
      case 2:
        lines.splice(at, 1);
        break;
      case 3:
        lines.splice(at, 0, other);
        break;
      case 4:
        lines[at] = `${' '.repeat(random(6))}${line.trim()}`;
        break;
      case 5:
        lines[at] = line.slice(0, cut) + pick(random, SCALARS) + line.slice(cut);
        break;
      case 6:
        lines[at] = line.slice(0, cut) + String.fromCharCode(random(0x250)) + line.slice(cut + 1);
        break;
      case 7:
        lines = [...lines.slice(0, at), random(20) === 0 ? BOMB : other];
        break;
      default:
        lines[at] = line.replace(/\w+/, other.trim().split(/[: ]/)[0] ?? '');
    }
  }
  return lines.join('\n');
}

function override(random: Random): string {
  const key = pick(random, [
    'training.learningRate',
    'setup.reward',
    'epochs',
    'sampling',
    'x.y',
    'a..b',
    '',
    '__proto__.x',
  ]);
  return `${random(3) ? key : pick(random, SCALARS)}${random(5) ? '=' : ''}${pick(random, SCALARS)}`;
}

/**
 * Reads run files, numbered from `first`. Throws, naming the number, when one is neither read nor refused with a
 * ConfigError, takes too long, or alters what all objects have. Returns how many were refused.
 */
export async function fuzzRunFiles(first: number, count: number): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'run-file-fuzz-'));
  const file = join(folder, 'run.yaml');
  const all = originals();
  const before = Object.getOwnPropertyNames(Object.prototype).join();
  let refused = 0;
  try {
    for (const text of all.slice(0, 4)) {
      writeFileSync(file, text);
      await readRunFile(file, []); // what is damaged below is whole
    }
    for (let run = first; run < first + count; run++) {
      const random = randomFrom(run);
      writeFileSync(file, damage(pick(random, all), random));
      const overrides = Array.from({ length: random(4) ? 0 : 1 + random(2) }, () => override(random));
      const start = process.cpuUsage();
      try {
        await readRunFile(file, overrides);
      } catch (error) {
        refused++;
        if (!(error instanceof ConfigError) || error.message === '')
          throw new Error(`run ${run}`, { cause: error });
      }
      if (secondsSince(start) > MAX_SECONDS) throw new Error(`run ${run} took too long`);
      if (
        Object.getOwnPropertyNames(Object.prototype).join() !== before ||
        ({} as { x?: unknown }).x !== undefined
      )
        throw new Error(`run ${run} altered the prototype of objects`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return refused;
}
