import { type Params, replaceByStacks } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { isUsed, TEXT_LAYERS, type TextEncoderConfig } from './text-encoder';
import { BLOCKS } from './transformer';

/** Where the transformer's repeated blocks start. */
export const BLOCK_BASES: readonly string[] = Object.values(BLOCKS);

/** Stacks the transformer's blocks, so that one of each kind is compiled; the stacked tensors are disposed of. */
export const stackBlocks = (params: Params): Params => replaceByStacks(params, BLOCK_BASES);

/** The same for the text encoder's layers; what the states do not depend on is disposed of too, and left out. */
export function stackTextLayers(params: Params, config: TextEncoderConfig): Params {
  const [used, rest]: [Params, Params] = [{}, {}];
  for (const [name, x] of Object.entries(params)) (isUsed(name, config) ? used : rest)[name] = x;
  tf.dispose(rest);
  return replaceByStacks(used, [TEXT_LAYERS]);
}
