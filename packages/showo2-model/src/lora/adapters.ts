import { castLike, type NamePattern, type Params, param, selectNames, stackedPlace } from '@flow-grpo/nn';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { LAYER_BASES } from '../layers';

/** Low-rank adaptation (Hu et al. 2021): W + (alpha / rank) B A, with B starting at zero. */
export interface LoraConfig {
  rank: number;
  alpha: number;
  /** Which linear weights get an adapter, by name without `.weight`. */
  patterns: readonly NamePattern[];
}

/** What the scale of an adapter depends on. */
export type LoraScale = Pick<LoraConfig, 'alpha' | 'rank'>;

/** What an adapter's two factors are called behind the linear layer's name. */
const DOWN = '.lora_A.weight';
const UP = '.lora_B.weight';

/** Names of the linear layers that adapters belong to. */
export const adaptedNames = (adapters: Params): string[] =>
  Object.keys(adapters)
    .filter((name) => name.endsWith(DOWN))
    .map((name) => name.slice(0, -DOWN.length));

/** [out, in] of every linear layer by its upstream name without `.weight`, stacked layers one by one. */
function linearShapes(params: Params): Map<string, [number, number]> {
  const shapes = new Map<string, [number, number]>();
  for (const [name, { shape }] of Object.entries(params)) {
    if (!name.endsWith('.weight') || /embed(ding|_tokens)|lora_/.test(name)) continue;
    const layer = name.slice(0, -'.weight'.length);
    const base = Object.values(LAYER_BASES).find((start) => name.startsWith(`${start}*.`));
    if (base === undefined && shape.length === 2) shapes.set(layer, shape as [number, number]);
    if (base !== undefined && shape.length === 3) {
      const [count, ...size] = shape as [number, number, number];
      for (let i = 0; i < count; i++) shapes.set(layer.replace('*', String(i)), size as [number, number]);
    }
  }
  return shapes;
}

/**
 * New adapters for the linear layers that fit the patterns: `name.lora_A.weight` [rank, in], `name.lora_B.weight`
 * [out, rank], under upstream's names whether the layers of `params` are stacked or not.
 */
export function initLora(params: Params, { rank, patterns }: LoraConfig, seed: number): Params {
  if (!Number.isInteger(rank) || rank < 1)
    throw new Error(`LoRA's rank must be a positive integer, got ${rank}.`);
  const shapes = linearShapes(params);
  const root = random.key(seed);
  const adapters: Params = {};
  selectNames([...shapes.keys()], patterns).forEach((name, i) => {
    const [out, into] = shapes.get(name)!;
    const bound = 1 / Math.sqrt(into);
    adapters[name + DOWN] = tf.tidy(() =>
      tf.mul(tf.sub(random.uniform(random.foldIn(root, i), [rank, into]), 0.5), 2 * bound),
    );
    adapters[name + UP] = tf.zeros([out, rank]);
  });
  root.dispose();
  return adapters;
}

/**
 * The parameters with adapters in effect: the layers add the low-rank path themselves. Differentiable in the adapters.
 * Where layers are stacked their adapters are too; layers of a stack without one get zeros.
 *
 * @throws listing the adapters that belong to no linear layer of `params`, or do not have its sizes.
 */
export function withLora(params: Params, adapters: Params, { alpha, rank }: LoraScale): Params {
  checkAdapters(params, adapters, rank);
  const out: Params = { ...params };
  const stacks = new Map<string, Map<number, string>>();
  for (const name of adaptedNames(adapters)) {
    const place = stackedPlace(params, `${name}.weight`);
    if (place) {
      const stack = place.name.slice(0, -'.weight'.length);
      stacks.set(stack, (stacks.get(stack) ?? new Map()).set(place.index, name));
      continue;
    }
    out[name + DOWN] = param(adapters, name + DOWN);
    out[name + UP] = param(adapters, name + UP);
    out[`${name}.lora_scale`] = tf.scalar(alpha / rank);
  }
  for (const [stack, members] of stacks) {
    const count = param(params, `${stack}.weight`).shape[0]!;
    for (const factor of [DOWN, UP]) {
      const given = [...members].map(([i, name]) => [i, param(adapters, name + factor)] as const);
      const byLayer = new Map(given);
      const nothing = byLayer.size < count ? tf.zerosLike(given[0]![1]) : undefined;
      out[stack + factor] = tf.stack(Array.from({ length: count }, (_, i) => byLayer.get(i) ?? nothing!));
      nothing?.dispose();
    }
    out[`${stack}.lora_scale`] = tf.fill([count], alpha / rank);
  }
  return out;
}

/** Plain parameters with the adapters added in, held as they were: same names as before, ready to save. */
export function mergeLora(params: Params, adapters: Params, { alpha, rank }: LoraScale): Params {
  checkAdapters(params, adapters, rank);
  const merged: Params = { ...params };
  const change = (name: string) => {
    const b = param(adapters, name + UP) as tf.Tensor2D;
    const a = param(adapters, name + DOWN) as tf.Tensor2D;
    return tf.mul(tf.matMul(b, a), alpha / rank);
  };
  const stacks = new Map<string, Map<number, string>>();
  for (const name of adaptedNames(adapters)) {
    const place = stackedPlace(params, `${name}.weight`);
    if (place) stacks.set(place.name, (stacks.get(place.name) ?? new Map()).set(place.index, name));
    else {
      const weight = param(params, `${name}.weight`);
      merged[`${name}.weight`] = tf.tidy(() => castLike(tf.add(weight, change(name)), weight));
    }
  }
  for (const [stack, members] of stacks) {
    const weight = param(params, stack);
    merged[stack] = tf.tidy(() => {
      const layers = tf.unstack(weight).map((layer, i) => {
        const name = members.get(i);
        return name === undefined ? layer : castLike(tf.add(layer, change(name)), layer);
      });
      return tf.stack(layers);
    });
  }
  return merged;
}

/** Throws, listing what is wrong, unless every adapter has two factors of the rank that fit a linear layer. */
function checkAdapters(params: Params, adapters: Params, rank: number): void {
  const shapes = linearShapes(params);
  const problems: string[] = [];
  for (const name of adaptedNames(adapters)) {
    const layer = shapes.get(name);
    const a = param(adapters, name + DOWN).shape;
    const b = adapters[name + UP]?.shape;
    if (!layer) problems.push(`${name}: the model has no such linear layer`);
    else if (!b) problems.push(`${name}: lora_B.weight is missing`);
    else if (a[0] !== rank || a[1] !== layer[1] || b[0] !== layer[0] || b[1] !== rank) {
      problems.push(`${name}: [${a}] and [${b}] are no rank ${rank} adapter of [${layer}]`);
    }
  }
  for (const name of Object.keys(adapters)) {
    if (name.endsWith(UP) && !(name.slice(0, -UP.length) + DOWN in adapters))
      problems.push(`${name.slice(0, -UP.length)}: lora_A.weight is missing`);
  }
  if (problems.length === 0) return;
  const more = problems.length > 20 ? [`… and ${problems.length - 20} more`] : [];
  throw new Error(['LoRA adapters do not fit the model:', ...problems.slice(0, 20), ...more].join('\n  '));
}
