import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { flatten, matchTree, treeKey, unflatten } from './pytree';

const leaf = fc.oneof(fc.integer(), fc.boolean(), fc.string(), fc.constant(null), fc.constant('tensor!'));
const trees = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie('tree')),
  ),
})).tree;

const withTensors = (tree: unknown): unknown => {
  if (tree === 'tensor!') return tf.scalar(1);
  if (Array.isArray(tree)) return tree.map(withTensors);
  if (typeof tree !== 'object' || tree === null) return tree;
  return Object.fromEntries(Object.entries(tree).map(([key, value]) => [key, withTensors(value)]));
};

describe('pytrees', () => {
  it('come apart and together again', () => {
    fc.assert(
      fc.property(trees, (plain) => {
        const tree = withTensors(plain);
        const { tensors, def } = flatten(tree);
        expect(unflatten(def, tensors)).toEqual(tree);
        const matched: tf.Tensor[] = [];
        expect(matchTree(def, tree, matched)).toBe(true);
        expect(matched).toEqual(tensors);
      }),
    );
  });

  it('match their own structure only', () => {
    fc.assert(
      fc.property(trees, trees, (a, b) => {
        const [x, y] = [flatten(withTensors(a)), withTensors(b)];
        expect(matchTree(x.def, y, [])).toBe(treeKey(x.def) === treeKey(flatten(y).def));
      }),
    );
  });

  it('refuse what is neither tensor, value nor container', () => {
    expect(() => flatten({ a: [new Map()] }, 'args')).toThrow(/args\.a\[0\] is an instance of Map/);
    expect(() => flatten(() => 1)).toThrow(/a function/);
  });
});
