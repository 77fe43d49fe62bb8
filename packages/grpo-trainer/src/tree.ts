/** Pytrees of tensors: nested arrays and records. */
import * as tf from '@tensorflow/tfjs-core';

/** The same tree with every tensor replaced; other leaves stay. */
export function mapTensors<T>(tree: T, f: (tensor: tf.Tensor) => tf.Tensor): T {
  if (tree instanceof tf.Tensor) return f(tree) as T;
  if (Array.isArray(tree)) return tree.map((item) => mapTensors(item, f)) as T;
  if (tree === null || typeof tree !== 'object') return tree;
  return Object.fromEntries(Object.entries(tree).map(([key, item]) => [key, mapTensors(item, f)])) as T;
}

/** The tensors of a tree, in the order in which `mapTensors` meets them. */
export function flattenTensors(tree: unknown): tf.Tensor[] {
  const found: tf.Tensor[] = [];
  mapTensors(tree, (tensor) => {
    found.push(tensor);
    return tensor;
  });
  return found;
}

/** Disposes of the tensors of a tree, except those that are part of `kept` too: outside jit results may be arguments. */
export function disposeExcept(kept: unknown, tree: unknown): void {
  const stay = new Set(flattenTensors(kept));
  tf.dispose(flattenTensors(tree).filter((tensor) => !stay.has(tensor)));
}

/** Disposes of every tensor of a tree. */
export function disposeTree(tree: unknown): void {
  tf.dispose(flattenTensors(tree));
}
