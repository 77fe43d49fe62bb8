import type { Tensor } from '@tensorflow/tfjs-core';
import { KeyMismatchError, type ShapeMismatch } from './errors';

type Shapes = Readonly<Record<string, readonly number[]>>;

export interface CheckKeysOptions {
  /** What the error calls the checkpoint; its path is a good name. */
  readonly what?: string;
  /** Expected names that may be absent. */
  readonly optional?: (name: string) => boolean;
  /** Found names that are of no interest. */
  readonly ignore?: (name: string) => boolean;
}

/**
 * Compares the names and shapes a model declares with those found. Throws one {@link KeyMismatchError} that
 * lists everything missing, unexpected and wrongly shaped.
 */
export function checkKeys(expected: Shapes, found: Shapes, options: CheckKeysOptions = {}): void {
  const { what = 'checkpoint', optional = () => false, ignore = () => false } = options;
  const missing = Object.keys(expected).filter((name) => !Object.hasOwn(found, name) && !optional(name));
  const unexpected = Object.keys(found).filter((name) => !Object.hasOwn(expected, name) && !ignore(name));
  const misshaped: ShapeMismatch[] = Object.entries(expected).flatMap(([name, shape]) => {
    const actual = Object.hasOwn(found, name) ? found[name]! : shape;
    const same = actual.length === shape.length && actual.every((length, axis) => length === shape[axis]);
    return same ? [] : [{ name, expected: shape, actual }];
  });
  if (missing.length + unexpected.length + misshaped.length > 0) {
    throw new KeyMismatchError(what, missing, unexpected, misshaped);
  }
}

/** The shapes of parameters, as {@link checkKeys} takes them. */
export function shapesOf(params: Readonly<Record<string, Tensor>>): Record<string, number[]> {
  return Object.fromEntries(Object.entries(params).map(([name, { shape }]) => [name, shape]));
}
