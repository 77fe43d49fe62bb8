/** Low-rank adapters for any policy. */
import {
  adaptedWeights,
  checkAdapters,
  initLora,
  type LoraInit,
  type LoraScale,
  loraScales,
  type NamePattern,
  pickParams,
  stackLora,
} from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { Params, Policy } from '../policy';

export interface LoraPolicyOptions extends LoraScale {
  /**
   * Which of the linear weights that the policy would train get an adapter: parts or globs of their names without `.weight`. All
   * of them by default.
   */
  readonly targets?: readonly NamePattern[];
  /** How new adapters start (PEFT's `init_lora_weights`); `kaiming` by default. All leave the model as it is. */
  readonly init?: LoraInit;
  /** Of the new adapters' random numbers; 0 by default. */
  readonly seed?: number;
  /** Adapters to go on with in place of new ones, as `loadLora` of @flow-grpo/checkpoint-io reads them; used up. */
  readonly start?: Params;
}

/** A policy whose adapters train. */
export interface LoraPolicy<C, P> extends Policy<C, P> {
  /** What the adapters' products are multiplied with, for whoever saves or merges them. */
  readonly lora: LoraScale;
}

/**
 * `policy` with low-rank adapters on its linear weights, W + scale · B A, as what trains in place of the weights themselves: for
 * each layer `X`, `X.lora_A.weight` [rank, in] and `X.lora_B.weight` [out, rank]; of layers stacked for a scan
 * (`blocks.*.q.weight` [layers, out, in]) stacked along, [layers, rank, in] and [layers, out, rank]. The base weights stay
 * the policy's own, in their storage; gradients, moments, averages and copies are those of the factors alone, and an
 * algorithm's reference is the policy without adapters.
 *
 * A policy with `lowRankLayers` gets the factors and adds their products where it computes. Others get the sum as the weight,
 * made where they use it: right for every policy, at the cost of a weight's size for as long as it is used.
 *
 * @throws when a target fits no linear layer, a rank or alpha is none, and `start` does not fit.
 */
export function loraPolicy<C, P>(policy: Policy<C, P>, options: LoraPolicyOptions): LoraPolicy<C, P> {
  const { rank, alpha, useRslora = false, targets = ['all'], init = 'kaiming', seed = 0 } = options;
  const scale: LoraScale = { rank, alpha, useRslora };
  const base = policy.params;
  const given = options.start ?? initLora(adaptable(policy), { ...scale, init, targets }, seed);
  checkAdapters(base, given, rank);
  const adapters = laidOut(base, given);
  // A policy may look for its weights in `trained` alone.
  const plain = policy.lowRankLayers ? {} : adaptedOf(base, adapters);
  const inEffect = (trained: Params): Params => {
    if (Object.keys(trained).length === 0) return plain;
    return policy.lowRankLayers
      ? { ...trained, ...loraScales(trained, scale) }
      : adaptedWeights(base, trained, scale);
  };
  const adapted = <Call extends { readonly trained: Params }>(call: Call): Call => ({
    ...call,
    trained: inEffect(call.trained),
  });
  const { prepare, velocityFromFeatures } = policy;
  return {
    ...policy,
    params: { ...base, ...adapters },
    trainable: Object.keys(adapters),
    untrained: {},
    lora: scale,
    velocity: (call) => policy.velocity(adapted(call)),
    ...(prepare && { prepare: (call) => prepare(adapted(call)) }),
    ...(velocityFromFeatures && { velocityFromFeatures: (call) => velocityFromFeatures(adapted(call)) }),
  };
}

/** The scale of a policy's adapters; undefined where it trains its weights themselves. */
export const loraScaleOf = (policy: object): LoraScale | undefined =>
  (policy as Partial<LoraPolicy<unknown, unknown>>).lora;

/** The weights that the policy would train: it may use others where it takes them to be frozen. */
function adaptable(policy: Pick<Policy, 'params' | 'trainable'>): Params {
  return pickParams(policy.params, policy.trainable);
}

/** The weights that adapters belong to, as they are. */
const adaptedOf = (params: Params, adapters: Params): Params =>
  pickParams(params, [
    ...new Set(Object.keys(adapters).map((name) => name.replace(/\.lora_[AB]\.weight$/, '.weight'))),
  ]);

/** Adapters laid out as the layers are; those that were stacked are gone. */
function laidOut(params: Params, adapters: Params): Params {
  const out = stackLora(params, adapters);
  const kept = new Set(Object.values(out));
  tf.dispose(Object.values(adapters).filter((factor) => !kept.has(factor)));
  return out;
}
