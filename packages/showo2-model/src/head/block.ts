import {
  type Attend,
  castLike,
  castToStorage,
  linear,
  type Params,
  param,
  qwenAttention,
  type RotaryTables,
  rmsNorm,
  silu,
  swiglu,
} from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { HeadConfig } from '../config/config';

/** Shift, scale and gate of one half of a block, broadcastable to [B, T, hidden]. */
export interface Modulation {
  shift: tf.Tensor;
  scale: tf.Tensor;
  gate: tf.Tensor;
}

/** What a block's two halves are modulated with; absent for text, which passes through unmodulated and ungated. */
export interface BlockModulation {
  attention: Modulation;
  mlp: Modulation;
}

/** The modulation [N, 6 * hidden] of a block for time vectors [N, hidden]. */
export function blockModulation(params: Params, prefix: string, time: tf.Tensor): tf.Tensor {
  return linear(params, `${prefix}adaLN_modulation.1`, silu(time));
}

/** Splits [..., 6 * hidden] in upstream's order: shift, scale and gate of the attention, then of the MLP. */
export function splitModulation(modulation: tf.Tensor): BlockModulation {
  const parts = tf.split(modulation, 6, -1) as tf.Tensor[];
  const [shift, scale, gate, mlpShift, mlpScale, mlpGate] = parts as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
  return {
    attention: { shift, scale, gate },
    mlp: { shift: mlpShift, scale: mlpScale, gate: mlpGate },
  };
}

/** x · (1 + scale) + shift, in float32. */
export function modulate(x: tf.Tensor, shift: tf.Tensor, scale: tf.Tensor): tf.Tensor {
  const wide = tf.add(
    tf.mul(castToStorage(x, 'float32'), tf.add(castToStorage(scale, 'float32'), 1)),
    castToStorage(shift, 'float32'),
  );
  return castLike(wide, x);
}

/** Attention of a block: q/k norm a head before the rotary embedding, no biases. */
export function headAttention(
  params: Params,
  prefix: string,
  config: HeadConfig,
  x: tf.Tensor,
  rotary: RotaryTables,
  attend: Attend,
): tf.Tensor {
  const sizes = { headDim: config.headDim, eps: config.qkNormEps };
  return qwenAttention(params, `${prefix}self_attn.`, sizes, x, rotary, attend);
}

/** One modulated attention block over x [B, T, hidden]. */
export function headBlock(
  params: Params,
  prefix: string,
  config: HeadConfig,
  x: tf.Tensor,
  rotary: RotaryTables,
  attend: Attend,
  modulation?: BlockModulation,
  observeAttention?: (value: tf.Tensor) => void,
): tf.Tensor {
  const half = (
    y: tf.Tensor,
    norm: string,
    part: Modulation | undefined,
    inner: (z: tf.Tensor) => tf.Tensor,
  ) => {
    const normed = rmsNorm(y, param(params, `${prefix}${norm}.weight`), config.rmsNormEps);
    const result = inner(part ? modulate(normed, part.shift, part.scale) : normed);
    return tf.add(y, part ? tf.mul(part.gate, result) : result);
  };
  const attended = half(x, 'input_layernorm', modulation?.attention, (y) => {
    const result = headAttention(params, prefix, config, y, rotary, attend);
    observeAttention?.(result);
    return result;
  });
  return half(attended, 'post_attention_layernorm', modulation?.mlp, (y) =>
    swiglu(params, `${prefix}mlp`, y),
  );
}
