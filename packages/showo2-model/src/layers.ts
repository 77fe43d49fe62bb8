import type { Params } from '@flow-grpo/nn';
import { scan } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';

/** Where repeated layers start in the parameters' names. */
export const LAYER_BASES = {
  trunk: 'showo.model.layers.',
  vision: 'und_trans.layers.',
  head: 'diffusion_head_a.',
} as const;

/** Names of the diffusion head, its final layer included. */
const HEAD = 'diffusion_head_';

/**
 * Replaces the weights of the layers under `base` by one tensor a name, `base*.name` [layers, ...]. A model whose layers
 * are stacked runs them under `scan`: one layer is compiled, however many there are. The other entries stay.
 */
export function stackLayers(params: Params, base: string): Params {
  return stackWith(params, base, (layers) => tf.stack([...layers]));
}

/**
 * Stacks the layers of every part (`LAYER_BASES`) in which none of the names `trainable` lies, and disposes of the
 * tensors that were stacked, one name at a time. For frozen parts: compile time stops growing with depth and a step is
 * as fast. Layers that train are faster unrolled.
 */
export function stackFrozen(params: Params, trainable: readonly string[] = []): Params {
  const frozen = Object.values(LAYER_BASES).filter(
    (base) => !trainable.some((name) => name.startsWith(base)),
  );
  return frozen.reduce((given, base) => stackWith(given, base, replaceByStack), params);
}

/**
 * Stacks layers for training, and disposes of the tensors that were stacked. Frozen parts always are. Where the head alone
 * trains its layers stay apart, which is faster; where more trains, every part is stacked in which a weight trains in all
 * layers or in none: one layer is compiled, and gradients keep one activation per layer and compute the rest again.
 *
 * @param trainable names in `params`
 * @returns the parameters, and what trains by its name there
 */
export function stackForTraining(
  params: Params,
  trainable: readonly string[],
): { params: Params; trainable: string[] } {
  const trains = new Set(trainable);
  const headOnly = trainable.every((name) => name.startsWith(HEAD));
  const bases = Object.values(LAYER_BASES).filter((base) => {
    const kinds = new Map<string, boolean>();
    return Object.keys(params).every((name) => {
      const [, rest] = layerName(base, name) ?? [];
      if (rest === undefined) return true;
      const known = kinds.get(rest);
      kinds.set(rest, trains.has(name));
      return known === undefined ? !(headOnly && trains.has(name)) : known === trains.has(name);
    });
  });
  const nameNow = (name: string) => {
    for (const base of bases) {
      const [, rest] = layerName(base, name) ?? [];
      if (rest !== undefined) return `${base}*.${rest}`;
    }
    return name;
  };
  return {
    params: bases.reduce((given, base) => stackWith(given, base, replaceByStack), params),
    trainable: [...new Set(trainable.map(nameNow))],
  };
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

/** The inverse of `stackLayers`: upstream's names again. */
export function unstackLayers(params: Params, base: string): Params {
  const out: Params = {};
  for (const [name, tensor] of Object.entries(params)) {
    if (!name.startsWith(`${base}*.`)) out[name] = tensor;
    else
      tf.unstack(tensor).forEach((layer, i) => {
        out[`${base}${i}.${name.slice(base.length + 2)}`] = layer;
      });
  }
  return out;
}

/** All parameters under upstream's names: what was stacked is new, everything else the given tensors. */
export function upstreamNames(params: Params): Params {
  return Object.values(LAYER_BASES).reduce(unstackLayers, params);
}

/** Keys and values a layer computed or reads, [B, T, K, D]. */
export interface LayerKv {
  keys: tf.Tensor;
  values: tf.Tensor;
}

/** One layer. `number` is absent under a scan, where one body stands for all. */
type LayerBody = (
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
