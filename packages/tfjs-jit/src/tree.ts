/** Pytrees: nested arrays and plain records whose leaves are tensors or static values (numbers, strings, booleans, null). */
import * as tf from '@tensorflow/tfjs-core';

/** A leaf that is no tensor: part of a traced function's signature. */
type Static = number | string | boolean | null | undefined;

/** The shape of a pytree without its tensors. */
export type TreeDef =
  | { readonly kind: 'tensor' }
  | { readonly kind: 'static'; readonly value: Static }
  | { readonly kind: 'array'; readonly items: readonly TreeDef[] }
  | { readonly kind: 'record'; readonly keys: readonly string[]; readonly items: readonly TreeDef[] };

const TENSOR: TreeDef = { kind: 'tensor' };

/** Splits a pytree into its tensors, in order, and the structure that holds them. */
export function flatten(tree: unknown, path = 'value'): { tensors: tf.Tensor[]; def: TreeDef } {
  const tensors: tf.Tensor[] = [];
  const def = visit(tree, tensors, path);
  return { tensors, def };
}

function visit(tree: unknown, tensors: tf.Tensor[], path: string): TreeDef {
  if (tree instanceof tf.Tensor) {
    tensors.push(tree);
    return TENSOR;
  }
  if (isStatic(tree)) return { kind: 'static', value: tree };
  if (Array.isArray(tree)) {
    return { kind: 'array', items: tree.map((item, i) => visit(item, tensors, `${path}[${i}]`)) };
  }
  if (isRecord(tree)) {
    const keys = Object.keys(tree);
    return { kind: 'record', keys, items: keys.map((key) => visit(tree[key], tensors, `${path}.${key}`)) };
  }
  throw new Error(
    `${path} is ${describe(tree)}, but a pytree holds tensors, numbers, strings, booleans, null, arrays and plain records`,
  );
}

/** The pytree with structure `def` whose tensors are `leaves`, in order. */
export function unflatten(def: TreeDef, leaves: readonly tf.Tensor[]): unknown {
  let next = 0;
  const build = (node: TreeDef): unknown => {
    switch (node.kind) {
      case 'tensor':
        return leaves[next++];
      case 'static':
        return node.value;
      case 'array':
        return node.items.map(build);
      case 'record': {
        const record: Record<string, unknown> = {};
        for (let i = 0; i < node.keys.length; i++) record[node.keys[i]!] = build(node.items[i]!);
        return record;
      }
    }
  };
  const tree = build(def);
  if (next !== leaves.length) throw new Error(`${leaves.length} tensors for a structure that holds ${next}`);
  return tree;
}

/** Whether a pytree has structure `def`; its tensors are appended to `tensors`. Cheaper than `flatten`. */
export function matchTree(def: TreeDef, tree: unknown, tensors: tf.Tensor[]): boolean {
  switch (def.kind) {
    case 'tensor':
      // A property test: instanceof on tfjs' Tensor runs code of its own for every leaf.
      if (typeof tree !== 'object' || tree === null || !('dataId' in tree)) return false;
      tensors.push(tree as tf.Tensor);
      return true;
    case 'static':
      return Object.is(def.value, tree);
    case 'array': {
      if (!Array.isArray(tree) || tree.length !== def.items.length) return false;
      for (let i = 0; i < tree.length; i++) if (!matchTree(def.items[i]!, tree[i], tensors)) return false;
      return true;
    }
    case 'record': {
      if (!isRecord(tree) || 'dataId' in tree) return false;
      const keys = Object.keys(tree);
      if (keys.length !== def.keys.length) return false;
      for (let i = 0; i < keys.length; i++) {
        const key = keys[i]!;
        if (key !== def.keys[i] || !matchTree(def.items[i]!, tree[key], tensors)) return false;
      }
      return true;
    }
  }
}

/** The tensors of a pytree, in order. */
export const leaves = (tree: unknown): tf.Tensor[] => flatten(tree).tensors;

/** The same structure with every tensor replaced by `f(tensor)`. */
export function map<T>(tree: T, f: (tensor: tf.Tensor, index: number) => tf.Tensor): T {
  const { tensors, def } = flatten(tree);
  return unflatten(def, tensors.map(f)) as T;
}

/**
 * Pytrees of one structure joined tensor by tensor: tensor i of the result is `f` of the tensors i of all trees. What is
 * no tensor is taken from the first.
 *
 * @throws when there is no tree, or when one has another structure or other static values than the first.
 */
export function zip<T>(
  trees: readonly T[],
  f: (tensors: readonly tf.Tensor[], index: number) => tf.Tensor,
): T {
  const [first, ...others] = trees;
  if (first === undefined) throw new Error('tree.zip: there is no tree');
  const { tensors, def } = flatten(first);
  const columns = tensors.map((tensor) => [tensor]);
  others.forEach((other, i) => {
    const found: tf.Tensor[] = [];
    if (!matchTree(def, other, found))
      throw new Error(`tree.zip: tree ${i + 1} differs in structure from the first`);
    for (const [leaf, tensor] of found.entries()) columns[leaf]!.push(tensor);
  });
  return unflatten(def, columns.map(f)) as T;
}

/** `tf.tidy` for functions that return pytrees, typed as what they return. */
export const tidy = <T>(f: () => T): T => tf.tidy(() => f() as tf.TensorContainer) as T;

/** Disposes of every tensor in a pytree; `except` names pytrees whose tensors stay. */
export function dispose(tree: unknown, except?: unknown): void {
  const stay = new Set(leaves(except));
  for (const tensor of leaves(tree)) if (!stay.has(tensor)) tensor.dispose();
}

function isStatic(value: unknown): value is Static {
  return (
    value === null ||
    value === undefined ||
    typeof value === 'number' ||
    typeof value === 'string' ||
    typeof value === 'boolean'
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function describe(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null)
    return `an instance of ${value.constructor?.name ?? 'a class'}`;
  return `a ${typeof value}`;
}
