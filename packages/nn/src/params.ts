import { gatherShards } from '@flow-grpo/tfjs-jit';
import type * as tf from '@tensorflow/tfjs-core';

/** Weights by name, in the layout of the checkpoint they came from (Linear [out, in], convolutions OIHW). */
export type Params = Record<string, tf.Tensor>;

/**
 * The tensor called `name`, as a layer reads it: stored in parts over several devices, it is gathered here, inside jit.
 *
 * @throws when the record lacks it, naming the key.
 */
export function param(params: Params, name: string): tf.Tensor {
  return gatherShards(existing(params, name));
}

/** The same where the record may lack it. */
export const optionalParam = (params: Params, name: string): tf.Tensor | undefined =>
  gatherShards(params[name]);

function existing(params: Params, name: string): tf.Tensor {
  const tensor = params[name];
  if (!tensor) throw new Error(`Parameter '${name}' is missing from the given parameters.`);
  return tensor;
}

/** Selects parameters by name: `all`, a substring, a glob over the whole name, or a regular expression. */
export type NamePattern = string | RegExp;

/** Whether `name` matches `pattern`: 'all' matches everything, `*` makes a glob, other strings match as substrings. */
export function matchesPattern(name: string, pattern: NamePattern): boolean {
  if (pattern instanceof RegExp)
    return new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).test(name);
  if (pattern === 'all') return true;
  if (!pattern.includes('*')) return name.includes(pattern);
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}

/**
 * The names that match at least one pattern, in their given order. A pattern that matches nothing is an error: it is
 * nearly always a misspelt name, and would train nothing without notice.
 */
export function selectNames(names: readonly string[], patterns: readonly NamePattern[]): string[] {
  for (const pattern of patterns) {
    if (!names.some((name) => matchesPattern(name, pattern))) {
      const sample = names.slice(0, 5).join(', ');
      throw new Error(`No parameter name matches the pattern '${pattern}'. Names look like: ${sample}.`);
    }
  }
  return names.filter((name) => patterns.some((pattern) => matchesPattern(name, pattern)));
}

/** The entries called `names`. Throws for a missing one. */
export function pickParams(params: Params, names: readonly string[]): Params {
  return Object.fromEntries(names.map((name) => [name, existing(params, name)]));
}

/** How many numbers the record holds. Tensors listed twice (tied weights) count once. */
export function countParams(params: Params): number {
  let total = 0;
  for (const tensor of new Set(Object.values(params))) total += tensor.size;
  return total;
}
