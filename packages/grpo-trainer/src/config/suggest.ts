/** "Did you mean": known option names, and the one closest to a misspelt one. */
import type { z } from 'zod';

/** Keys of the object at `path` in a schema; empty where there is none. */
export function keysAt(schema: z.ZodType, path: readonly string[]): string[] {
  let node = unwrap(schema);
  for (const key of path) node = unwrap(node.shape?.[key]);
  return Object.keys(node.shape ?? {});
}

interface Node {
  readonly shape?: Record<string, unknown>;
}

/** Looks through defaults and optionals to the object underneath. */
function unwrap(schema: unknown): Node {
  let node = schema as { def?: { innerType?: unknown }; shape?: Record<string, unknown> } | undefined;
  while (node?.def?.innerType) node = node.def.innerType as typeof node;
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
