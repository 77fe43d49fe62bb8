/** "Did you mean": known option names, and the one closest to a misspelt one. */
import type { z } from 'zod';
import { type SchemaLeaf, schemaLeaves } from './leaves';

/** Options that one may remember under another name, and that no spelling leads to. */
const RENAMED: Readonly<Record<string, string>> = {
  'training.objective': 'algorithm',
  'training.beta': 'grpo.beta',
  'setup.storage': 'setup.dtype',
  'training.klOn': 'grpo.klTarget',
  'divergence.maxApproxKl': 'divergence.maxStepKl',
  'training.timestepsPerSample': 'dpo.timesPerImage',
};

/**
 * What to say of a key that a schema does not have: one line, or one an option where it is a group of flow_grpo's.
 *
 * @param path of the unknown key.
 * @param input what holds it.
 */
export function unknownOption(schema: z.ZodType, path: readonly string[], input: unknown): string[] {
  const leaves = schemaLeaves(schema);
  const said = (name: string, guess: string | undefined) =>
    `${name} is not an option${guess ? `; did you mean ${guess}?` : ''}`;
  const ours = (name: string) => leaves.find((leaf) => flowGrpoNames(leaf).includes(name))?.path;
  const name = path.join('.');
  const direct = RENAMED[name] ?? ours(name);
  if (direct) return [said(name, direct)];
  const value = path.reduce<unknown>(
    (node, key) => (node as Record<string, unknown> | undefined)?.[key],
    input,
  );
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    const members = Object.keys(value).map((key) => [`${name}.${key}`, ours(`${name}.${key}`)] as const);
    if (members.some(([, found]) => found)) return members.map(([member, found]) => said(member, found));
  }
  const parent = path.slice(0, -1);
  const guess = closest(path.at(-1)!, keysAt(schema, parent));
  if (guess) return [said(name, [...parent, guess].join('.'))];
  // A known name in the wrong place, such as learningRate outside of training.
  return [said(name, leaves.find((leaf) => leaf.path.endsWith(`.${path.at(-1)}`))?.path)];
}

/**
 * The names among what a description's brackets say: `a.b, c` holds a.b and c, a formula such as `a · b / c` its factors.
 * Words of a phrase, such as `GPUs of accelerate launch`, are no names.
 */
export function flowGrpoNames({ flowGrpo = '' }: Pick<SchemaLeaf, 'flowGrpo'>): string[] {
  return flowGrpo
    .split(/[,·/:]/)
    .map((part) => part.trim().replace(/\[\d+\]$/, ''))
    .filter((part) => /^[a-z]\w*(\.\w+)*$/.test(part));
}

/** Keys of the object at `path` in a schema; empty where there is none. */
export function keysAt(schema: z.ZodType, path: readonly string[]): string[] {
  let node = unwrap(schema);
  for (const key of path) node = unwrap(node.shape?.[key]);
  return Object.keys(node.shape ?? {});
}

interface Node {
  readonly def?: { readonly innerType?: Node; readonly options?: readonly Node[] };
  readonly shape?: Record<string, unknown>;
}

/** Looks through defaults, optionals and unions to the object underneath. */
function unwrap(schema: unknown): Node {
  const node = schema as Node | undefined;
  if (node?.def?.innerType) return unwrap(node.def.innerType);
  if (node?.def?.options) return node.def.options.map(unwrap).find(({ shape }) => shape) ?? {};
  return node ?? {};
}

/** The candidate within a third of its length in edits, or undefined. */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '');
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(plain(word), plain(candidate)) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best && best.distance <= Math.max(1, Math.ceil(best.candidate.length / 3))
    ? best.candidate
    : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}
