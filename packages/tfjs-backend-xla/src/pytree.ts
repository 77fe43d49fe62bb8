/** Pytrees: nested arrays and records whose leaves are tensors or plain (static) values. */
import * as tf from '@tensorflow/tfjs-core';

/** A leaf that is no tensor: part of a traced function's signature. */
export type Static = number | string | boolean | null | undefined;

/** Nested arrays and records of tensors and static values. */
export type Pytree = tf.Tensor | Static | readonly Pytree[] | { readonly [key: string]: Pytree };

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

/** A string equal for equal structures and static values, and only for those. */
export function treeKey(def: TreeDef): string {
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

/** The same structure with every tensor replaced by `f(tensor)`. */
export function mapTensors<T>(tree: T, f: (tensor: tf.Tensor, index: number) => tf.Tensor): T {
  const { tensors, def } = flatten(tree);
  return unflatten(def, tensors.map(f)) as T;
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
