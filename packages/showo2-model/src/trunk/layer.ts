import { applyRotary, linear, type Params, param, type RotaryTables, rmsNorm, silu } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { TrunkConfig } from '../config/config';

/** How queries meet keys and values: masks, lengths and cached keys are the caller's affair. */
export type Attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => tf.Tensor;

/** Splits the last axis of [B, T, heads * size] into heads. */
export function splitHeads(x: tf.Tensor, size: number): tf.Tensor {
  const [batch, length, width] = x.shape as [number, number, number];
  return tf.reshape(x, [batch, length, width / size, size]);
}

/** Joins the heads of [B, T, heads, size]. */
export function joinHeads(x: tf.Tensor): tf.Tensor {
  const [batch, length, heads, size] = x.shape as [number, number, number, number];
  return tf.reshape(x, [batch, length, heads * size]);
}

/** down(silu(gate(x)) · up(x)), shared by the language model and the diffusion head. */
export function swiglu(params: Params, name: string, x: tf.Tensor): tf.Tensor {
  const gated = tf.mul(silu(linear(params, `${name}.gate_proj`, x)), linear(params, `${name}.up_proj`, x));
  return linear(params, `${name}.down_proj`, gated);
}

/** One Qwen2.5 decoder layer. `prefix` ends in a dot, or is empty when `params` holds one layer's own names. */
export function trunkLayer(
  params: Params,
  prefix: string,
  config: TrunkConfig,
  x: tf.Tensor,
  rotary: RotaryTables,
  attend: Attend,
): tf.Tensor {
  const eps = config.rmsNormEps;
  const normed = rmsNorm(x, param(params, `${prefix}input_layernorm.weight`), eps);
  const project = (name: string) =>
    splitHeads(linear(params, `${prefix}self_attn.${name}`, normed), config.headDim);
  const attended = attend(
    applyRotary(project('q_proj'), rotary),
    applyRotary(project('k_proj'), rotary),
    project('v_proj'),
  );
  const residual = tf.add(x, linear(params, `${prefix}self_attn.o_proj`, joinHeads(attended)));
  const inner = rmsNorm(residual, param(params, `${prefix}post_attention_layernorm.weight`), eps);
  return tf.add(residual, swiglu(params, `${prefix}mlp`, inner));
}
