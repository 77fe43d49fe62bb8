import {
  type LayerBody,
  type Observe,
  type Params,
  param,
  qwenLayer,
  type RotaryTables,
  rotaryFrequencies,
  rotaryTables,
  runLayers,
} from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { TEXT_EMBEDDING, TEXT_LAYERS, type TextEncoderConfig, usedLayers } from './config';

/** Rotary tables of `length` tokens, rotate-half layout. */
export function textRotary(config: TextEncoderConfig, length: number): RotaryTables {
  return rotaryTables(tf.range(0, length), rotaryFrequencies(config.headDim, config.ropeTheta));
}

/**
 * Token ids int32 [B, L], right-padded, to states [B, L, hidden]: the output of the last layer but one, before any norm
 * (`hidden_states[-2]`). Attention is causal, so padding behind a prompt changes nothing before it.
 */
export function encodeTokens(
  params: Params,
  config: TextEncoderConfig,
  ids: tf.Tensor,
  observe?: Observe,
): tf.Tensor {
  const rotary = textRotary(config, ids.shape[1]!);
  const attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) =>
    scaledDotProductAttention(q, k, v, { causal: true });
  const embedded = tf.gather(param(params, TEXT_EMBEDDING), ids);
  observe?.('embed_tokens', embedded);
  const body: LayerBody = (p, prefix, x, _given, number) => {
    const told = number === undefined ? undefined : observe; // under a scan one layer stands for all
    const next = qwenLayer(p, prefix, config, x, rotary, attend, told);
    told?.(prefix.replace(/\.$/, ''), next);
    return [next];
  };
  return runLayers(params, TEXT_LAYERS, usedLayers(config), embedded, body).x;
}
