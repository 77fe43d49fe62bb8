/** Low-rank adaptation (Hu et al. 2021): W + scale · B A. */
import * as tf from '@tensorflow/tfjs-core';
import { castLike } from '../cast';
import { type Params, param } from '../params';
import { stackedPlace } from '../stacked-layers';
import { adaptedNames, DOWN, layerOfStack, linearShapes, SCALE, UP } from './names';

/** What the product of an adapter's factors is multiplied with. */
export interface LoraScale {
  readonly rank: number;
  readonly alpha: number;
  /** alpha / √rank in place of alpha / rank (rank-stabilised, Kalajdzievski 2023). */
  readonly useRslora?: boolean;
}

/** alpha / rank, or alpha / √rank. */
export const loraScale = ({ rank, alpha, useRslora = false }: LoraScale): number =>
  alpha / (useRslora ? Math.sqrt(rank) : rank);

/** @throws unless the rank is a positive integer and alpha a number. */
export function checkScale({ rank, alpha }: LoraScale): void {
  if (!Number.isInteger(rank) || rank < 1)
    throw new Error(`LoRA's rank must be a positive integer, got ${rank}.`);
  if (!Number.isFinite(alpha)) throw new Error(`LoRA's alpha must be a number, got ${alpha}.`);
}

/**
 * Adapters laid out as the layers of `params` are: where those are stacked (`blocks.*.q.weight`), so are the factors,
 * `blocks.*.q.lora_A.weight` [layers, rank, in] and `blocks.*.q.lora_B.weight` [layers, out, rank], with zeros for layers of a
 * stack that have none. The others are the given tensors. Differentiable.
 */
export function stackLora(params: Params, adapters: Params): Params {
  const out: Params = {};
  const stacks = new Map<string, Map<number, string>>();
  for (const name of adaptedNames(adapters)) {
    const place = stackedPlace(params, `${name}.weight`);
    if (place) {
      const stack = place.name.slice(0, -'.weight'.length);
      stacks.set(stack, (stacks.get(stack) ?? new Map<number, string>()).set(place.index, name));
      continue;
    }
    out[name + DOWN] = param(adapters, name + DOWN);
    out[name + UP] = param(adapters, name + UP);
  }
  for (const [stack, members] of stacks) {
    const count = param(params, `${stack}.weight`).shape[0]!;
    for (const factor of [DOWN, UP]) {
      const byLayer = new Map([...members].map(([i, name]) => [i, param(adapters, name + factor)] as const));
      const nothing = byLayer.size < count ? tf.zerosLike([...byLayer.values()][0]!) : undefined;
      out[stack + factor] = tf.stack(Array.from({ length: count }, (_, i) => byLayer.get(i) ?? nothing!));
      nothing?.dispose();
    }
  }
  return out;
}

/** The inverse of `stackLora`, layer by layer: what was stacked is new, everything else the given tensors. */
export function unstackLora(adapters: Params): Params {
  const out: Params = {};
  for (const [name, value] of Object.entries(adapters)) {
    if (!name.split('.').includes('*')) out[name] = value;
    else for (const [i, layer] of tf.unstack(value).entries()) out[layerOfStack(name, i)] = layer;
  }
  return out;
}

/**
 * The parameters with adapters in effect: `linear` adds their products. Differentiable in the adapters, which may be layer by
 * layer or laid out as `params` are (`stackLora`).
 *
 * @throws listing the adapters that belong to no linear layer of `params`, or do not have its sizes.
 */
export function withLora(params: Params, adapters: Params, scale: LoraScale): Params {
  checkAdapters(params, adapters, scale.rank);
  const laidOut = stackLora(params, adapters);
  return { ...params, ...laidOut, ...loraScales(laidOut, scale) };
}

/** The scales that `linear` reads beside adapters as `stackLora` lays them out: a scalar, one for each layer in a stack. */
export const loraScales = (adapters: Params, scale: LoraScale): Params =>
  Object.fromEntries(
    adaptedNames(adapters).map((name) => {
      const { shape } = param(adapters, name + DOWN);
      return [name + SCALE, tf.fill(shape.slice(0, -2), loraScale(scale))];
    }),
  );

/** Plain parameters with the adapters added in, held as they were: same names as before, ready to save. */
export function mergeLora(params: Params, adapters: Params, scale: LoraScale): Params {
  checkAdapters(params, adapters, scale.rank);
  const merged = tf.tidy(() => adaptedWeights(params, stackLora(params, adapters), scale));
  return { ...params, ...merged };
}

/**
 * The weights that adapters belong to with their products added in, by the weights' names, held as they were. Differentiable
 * in the adapters, which must be laid out as `params` are.
 */
export function adaptedWeights(params: Params, adapters: Params, scale: LoraScale): Params {
  return Object.fromEntries(
    adaptedNames(adapters).map((name) => {
      const weight = param(params, `${name}.weight`);
      const product = tf.matMul(param(adapters, name + UP), param(adapters, name + DOWN));
      return [`${name}.weight`, castLike(tf.add(weight, tf.mul(product, loraScale(scale))), weight)];
    }),
  );
}

/** Throws, listing what is wrong, unless every adapter has two factors of the rank that fit a linear layer. */
export function checkAdapters(params: Params, adapters: Params, rank: number): void {
  const shapes = linearShapes(params);
  const problems: string[] = [];
  const known = (name: string): readonly number[] | undefined =>
    shapes.get(name) ?? (name.includes('*') ? params[`${name}.weight`]?.shape : undefined);
  for (const name of adaptedNames(adapters)) {
    const layer = known(name);
    const a = param(adapters, name + DOWN).shape;
    const b = adapters[name + UP]?.shape;
    const expected = layer && {
      a: [...layer.slice(0, -2), rank, layer.at(-1)!],
      b: [...layer.slice(0, -1), rank],
    };
    if (!expected) problems.push(`${name}: the model has no such linear layer`);
    else if (!b) problems.push(`${name}: lora_B.weight is missing`);
    else if (`${a}` !== `${expected.a}` || `${b}` !== `${expected.b}`) {
      problems.push(`${name}: [${a}] and [${b}] are not a rank ${rank} adapter of [${layer}]`);
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
