import { type Params, replaceByStacks, stackForTraining as stackShared, unstackLayers } from '@flow-grpo/nn';

/** Where repeated layers start in the parameters' names. */
export const SHOWO2_LAYER_BASES = {
  trunk: 'showo.model.layers.',
  vision: 'und_trans.layers.',
  head: 'diffusion_head_a.',
} as const;

/** Names of the diffusion head, its final layer included. */
const HEAD = 'diffusion_head_';

/**
 * Stacks the layers of every part (`SHOWO2_LAYER_BASES`) in which none of the names `trainable` lies, and disposes of the
 * tensors that were stacked, one name at a time. For frozen parts: compile time stops growing with depth and a step is
 * as fast. Layers that train are faster unrolled.
 */
export function stackFrozen(params: Params, trainable: readonly string[] = []): Params {
  return replaceByStacks(params, basesWithout(trainable));
}

/**
 * Stacks layers for training, and disposes of the tensors that were stacked. Frozen parts always are. Where the head alone
 * trains its layers stay apart, which is faster; where more trains, every part is stacked in which a weight trains in all
 * layers or in none.
 *
 * @param trainable names in `params`
 * @returns the parameters, and what trains by its name there
 */
export function stackForTraining(
  params: Params,
  trainable: readonly string[],
): { params: Params; trainable: string[] } {
  const headOnly = trainable.every((name) => name.startsWith(HEAD));
  return stackShared(
    params,
    headOnly ? basesWithout(trainable) : Object.values(SHOWO2_LAYER_BASES),
    trainable,
  );
}

const basesWithout = (trainable: readonly string[]): string[] =>
  Object.values(SHOWO2_LAYER_BASES).filter((base) => !trainable.some((name) => name.startsWith(base)));

/** All parameters under upstream's names: what was stacked is new, everything else the given tensors. */
export const upstreamNames = (params: Params): Params => unstackLayers(params);
