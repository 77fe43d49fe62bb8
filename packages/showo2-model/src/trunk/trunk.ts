import {
  linear,
  type Params,
  param,
  type RotaryTables,
  rmsNorm,
  rotaryFrequencies,
  rotaryTables,
} from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config, TrunkConfig } from '../config/config';

/** Where the language model's weights start. */
export const TRUNK = 'showo.model.';

/** The table of token embeddings, and the vocabulary projection, which may be the same table. */
export const EMBEDDING = `${TRUNK}embed_tokens.weight`;
export const LM_HEAD = 'showo.lm_head.weight';

/** Rotary tables of the language model at `positions` [T] or [B, T]. */
export function trunkRotary(config: TrunkConfig, positions: tf.Tensor): RotaryTables {
  return rotaryTables(positions, rotaryFrequencies(config.headDim, config.ropeTheta));
}

/** Token ids [B, T] (int32) to embeddings [B, T, hidden]. */
export function embedTokens(params: Params, ids: tf.Tensor): tf.Tensor {
  const table = param(params, EMBEDDING);
  return tf.gather(table, tf.cast(ids, 'int32'));
}

/** The norm after the last layer. What the diffusion head and the vocabulary projection read. */
export function trunkNorm(params: Params, config: Showo2Config, x: tf.Tensor): tf.Tensor {
  return rmsNorm(x, param(params, `${TRUNK}norm.weight`), config.trunk.rmsNormEps);
}

/** Logits [..., vocab] of normed hidden states; the embedding's table serves when the two are tied. */
export function tokenLogits(params: Params, config: Showo2Config, hidden: tf.Tensor): tf.Tensor {
  if (!config.trunk.tieWordEmbeddings) return linear(params, 'showo.lm_head', hidden);
  return linear({ 'tied.weight': param(params, EMBEDDING) }, 'tied', hidden);
}
