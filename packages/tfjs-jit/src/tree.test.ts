import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dispose, flatten, leaves, map, matchTree, type TreeDef, tidy, unflatten, zip } from './tree';

const leaf = fc.oneof(fc.integer(), fc.boolean(), fc.string(), fc.constant(null), fc.constant('tensor!'));
const trees = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie('tree')),
  ),
})).tree;

/** A string equal for equal structures and static values, and only for those. */
function treeKey(def: TreeDef): string {
  switch (def.kind) {
    case 'tensor':
      return '*';
    case 'static':
      if (def.value === undefined) return 'u';
      if (typeof def.value === 'number') return Object.is(def.value, -0) ? '-0' : String(def.value);
      return JSON.stringify(def.value);
    case 'array':
      return `[${def.items.map(treeKey).join(',')}]`;
    case 'record':
      return `{${def.keys.map((key, i) => `${JSON.stringify(key)}:${treeKey(def.items[i]!)}`).join(',')}}`;
  }
}

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

describe('map, leaves, zip and dispose', () => {
  const tree = () => ({ a: tf.scalar(1), deep: [tf.scalar(2), 'name', null], n: 3 });

  it('map replaces tensors alone, with their position', () => {
    const made = map(tree(), (x, i) => tf.add(x, 10 * i));
    expect(made).toMatchObject({ n: 3, deep: [expect.anything(), 'name', null] });
    expect(leaves(made).map((x) => x.dataSync()[0])).toEqual([1, 12]);
  });

  it('zip joins tensors of the same place', () => {
    const sums = zip([tree(), tree(), tree()], (xs) => tf.addN([...xs]));
    expect(leaves(sums).map((x) => x.dataSync()[0])).toEqual([3, 6]);
    expect(sums.n).toBe(3);
    expect(() => zip([tree(), { ...tree(), n: 4 }], ([x]) => x!)).toThrow(/tree 1 differs/);
    expect(() => zip([], ([x]) => x!)).toThrow(/no tree/);
  });

  it('tidy keeps what a pytree holds', () => {
    const before = tf.memory().numTensors;
    const made = tidy(() => ({ sum: tf.add(tf.add(1, 2), 3), name: 'sum' }));
    expect(tf.memory().numTensors).toBe(before + 1);
    expect([made.sum.dataSync()[0], made.name]).toEqual([6, 'sum']);
  });

  it('dispose leaves what is named', () => {
    const [kept, gone] = [tree(), tree()];
    dispose([kept, gone], kept);
    expect(leaves(gone).every((x) => x.isDisposed)).toBe(true);
    expect(leaves(kept).some((x) => x.isDisposed)).toBe(false);
    expect(() => dispose([gone, gone, null])).not.toThrow();
  });
});
