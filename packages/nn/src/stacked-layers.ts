/** Repeated layers: their weights as one tensor per name, and running them as one scan. */
import { scan } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Params } from './params';

/**
 * Replaces the weights of the layers under `base`, such as `model.layers.`, by one tensor per name, `base*.name`
 * [layers, ...]. A model whose layers are stacked runs them under `scan`: one layer is compiled, however many there are.
 * The other entries stay.
 */
export function stackLayers(params: Params, base: string): Params {
  return stackWith(params, base, (layers) => tf.stack([...layers]));
}

/** The same for several bases; disposes of the tensors that were stacked, one name at a time. */
export function replaceByStacks(params: Params, bases: readonly string[]): Params {
  return bases.reduce((given, base) => stackWith(given, base, replaceByStack), params);
}

/**
 * Stacks the layers under those of `bases` in which a weight trains in all layers or in none, and disposes of the tensors
 * that were stacked. One layer is then compiled, and gradients keep one activation per layer and compute the rest again.
 *
 * @param trainable names in `params`
 * @returns the parameters, and what trains by its name there
 */
export function stackForTraining(
  params: Params,
  bases: readonly string[],
  trainable: readonly string[],
): { params: Params; trainable: string[] } {
  const trains = new Set(trainable);
  const chosen = bases.filter((base) => {
    const kinds = new Map<string, boolean>();
    return Object.keys(params).every((name) => {
      const [, rest] = layerName(base, name) ?? [];
      if (rest === undefined) return true;
      const known = kinds.get(rest) ?? trains.has(name);
      kinds.set(rest, known);
      return known === trains.has(name);
    });
  });
  const nameNow = (name: string) => {
    for (const base of chosen) {
      const [, rest] = layerName(base, name) ?? [];
      if (rest !== undefined) return `${base}*.${rest}`;
    }
    return name;
  };
  return { params: replaceByStacks(params, chosen), trainable: [...new Set(trainable.map(nameNow))] };
}

/** Tensors of one shape as one, instead of them. */
function replaceByStack(layers: readonly tf.Tensor[]): tf.Tensor {
  const stacked = tf.stack([...layers]);
  tf.dispose([...layers]);
  return stacked;
}

/** Number and inner name of a weight of the layers under `base`; undefined for other names, stacked ones included. */
function layerName(base: string, name: string): readonly [number: number, rest: string] | undefined {
  const [, index, rest] = (name.startsWith(base) && /^(\d+)\.(.*)$/.exec(name.slice(base.length))) || [];
  return index === undefined ? undefined : [Number(index), rest!];
}

function stackWith(params: Params, base: string, stack: (layers: readonly tf.Tensor[]) => tf.Tensor): Params {
  const layers: Record<string, tf.Tensor[]> = {};
  const out: Params = {};
  for (const [name, tensor] of Object.entries(params)) {
    const [index, rest] = layerName(base, name) ?? [];
    if (rest === undefined) out[name] = tensor;
    else {
      layers[rest] ??= [];
      layers[rest]![index!] = tensor;
    }
  }
  for (const [rest, tensors] of Object.entries(layers)) out[`${base}*.${rest}`] = stack(tensors);
  return out;
}

/**
 * The inverse of `stackLayers`: upstream's names again, of the layers under `base` or of all stacks. What was stacked is
 * new, everything else the given tensors.
 */
export function unstackLayers(params: Params, base?: string): Params {
  const out: Params = {};
  for (const [name, tensor] of Object.entries(params)) {
    const at = base === undefined ? name.indexOf('*.') : name.startsWith(`${base}*.`) ? base.length : -1;
    if (at < 0) out[name] = tensor;
    else
      tf.unstack(tensor).forEach((layer, i) => {
        out[`${name.slice(0, at)}${i}.${name.slice(at + 2)}`] = layer;
      });
  }
  return out;
}

/** Where the layers of `params` that are stacked hold the weight called `name`: the stack's name, and which layer of it. */
export function stackedPlace(params: Params, name: string): { name: string; index: number } | undefined {
  const parts = name.split('.');
  for (const [i, part] of parts.entries()) {
    if (!/^\d+$/.test(part)) continue;
    const stack = [...parts.slice(0, i), '*', ...parts.slice(i + 1)].join('.');
    if (stack in params) return { name: stack, index: Number(part) };
  }
  return undefined;
}

/** Keys and values that a layer computed or reads, [B, T, K, D]. */
export type LayerKv = {
  keys: tf.Tensor;
  values: tf.Tensor;
};

/** One layer. `number` is absent under a scan, where one body stands for all. */
export type LayerBody = (
  params: Params,
  prefix: string,
  x: tf.Tensor,
  given: LayerKv | undefined,
  number: number | undefined,
) => [tf.Tensor, LayerKv?];

/**
 * Runs `count` layers over `x`: a loop, or a scan when `params` holds them stacked. `given` and the returned keys and
 * values are [B, layers, T, K, D].
 */
export function runLayers(
  params: Params,
  base: string,
  count: number,
  x: tf.Tensor,
  body: LayerBody,
  given?: LayerKv,
): { x: tf.Tensor; kv?: LayerKv } {
  const star = `${base}*.`;
  const stacked = Object.keys(params).filter((name) => name.startsWith(star));
  if (stacked.length > 0) {
    const swap = (y: tf.Tensor) => tf.transpose(y, [1, 0, 2, 3, 4]);
    const weights = Object.fromEntries(stacked.map((name) => [name.slice(star.length), params[name]!]));
    const xs = { weights, given: given ? { keys: swap(given.keys), values: swap(given.values) } : null };
    const [last, kv] = scan(
      (carry: tf.Tensor, layer: typeof xs): [tf.Tensor, LayerKv | null] => {
        const [next, own] = body(layer.weights, '', carry, layer.given ?? undefined, undefined);
        return [next, own ?? null];
      },
      x,
      xs,
      { length: count },
    );
    return { x: last, ...(kv && { kv: { keys: swap(kv.keys), values: swap(kv.values) } }) };
  }
  // Slices, not tf.unstack: its gradient fails for a single layer in tfjs 4.22.
  const layerOf = (y: tf.Tensor, i: number) =>
    tf.squeeze(tf.slice(y, [0, i, 0, 0, 0], [-1, 1, -1, -1, -1]), [1]);
  const made: LayerKv[] = [];
  let carry = x;
  for (let i = 0; i < count; i++) {
    const [next, own] = body(
      params,
      `${base}${i}.`,
      carry,
      given && { keys: layerOf(given.keys, i), values: layerOf(given.values, i) },
      i,
    );
    carry = next;
    if (own) made.push(own);
  }
  if (made.length === 0) return { x: carry };
  return {
    x: carry,
    kv: {
      keys: tf.stack(
        made.map((m) => m.keys),
        1,
      ),
      values: tf.stack(
        made.map((m) => m.values),
        1,
      ),
    },
  };
}
