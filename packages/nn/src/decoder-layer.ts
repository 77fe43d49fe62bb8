/** The decoder layer of Qwen2.5 and Qwen3, and its halves, which diffusion heads share. */
import * as tf from '@tensorflow/tfjs-core';
import { silu } from './activations';
import { linear } from './linear';
import { rmsNorm } from './norm';
import type { Observe } from './observe';
import { type Params, param } from './params';
import { applyRotary, type RotaryTables } from './rotary';

/** How queries meet keys and values: masks, lengths and cached keys are up to the caller. */
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

/** down(silu(gate(x)) · up(x)), by the names `gate_proj`, `up_proj` and `down_proj` or the given ones. */
export function swiglu(
  params: Params,
  name: string,
  x: tf.Tensor,
  [gate, up, down]: readonly [string, string, string] = ['gate_proj', 'up_proj', 'down_proj'],
): tf.Tensor {
  const gated = tf.mul(silu(linear(params, `${name}.${gate}`, x)), linear(params, `${name}.${up}`, x));
  return linear(params, `${name}.${down}`, gated);
}

export interface QwenLayerConfig {
  /** Numbers in a head; the heads are as many as the projections' widths hold. */
  readonly headDim: number;
  readonly rmsNormEps: number;
}

/**
 * Attention as in Qwen: `q_proj`, `k_proj`, `v_proj`, `o_proj`, with biases and with q/k norms per head before the rotary
 * embedding (`q_norm`, `k_norm`, with `eps`) where `params` has them. `name` ends in a dot.
 */
export function qwenAttention(
  params: Params,
  name: string,
  { headDim, eps }: { readonly headDim: number; readonly eps: number },
  x: tf.Tensor,
  rotary: RotaryTables,
  attend: Attend,
  observe?: Observe,
): tf.Tensor {
  const project = (part: string) => {
    const heads = splitHeads(linear(params, `${name}${part}_proj`, x), headDim);
    const norm = `${name}${part}_norm`;
    if (!(`${norm}.weight` in params)) return heads;
    const normed = rmsNorm(heads, param(params, `${norm}.weight`), eps);
    observe?.(norm, normed);
    return normed;
  };
  const q = applyRotary(project('q'), rotary);
  const k = applyRotary(project('k'), rotary);
  const v = project('v');
  observe?.(`${name}v_proj`, joinHeads(v));
  return linear(params, `${name}o_proj`, joinHeads(attend(q, k, v)));
}

/**
 * One decoder layer over x [B, T, hidden]: Qwen2.5's with biases, Qwen3's with q/k norms, as `params` has them. `prefix` ends
 * in a dot, or is empty when `params` holds one layer's own names.
 */
export function qwenLayer(
  params: Params,
  prefix: string,
  { headDim, rmsNormEps: eps }: QwenLayerConfig,
  x: tf.Tensor,
  rotary: RotaryTables,
  attend: Attend,
  observe?: Observe,
): tf.Tensor {
  const seen = (name: string, value: tf.Tensor) => {
    observe?.(prefix + name, value);
    return value;
  };
  const norm = (name: string, y: tf.Tensor) => rmsNorm(y, param(params, `${prefix}${name}.weight`), eps);
  const normed = seen('input_layernorm', norm('input_layernorm', x));
  const sizes = { headDim, eps };
  const attended = qwenAttention(params, `${prefix}self_attn.`, sizes, normed, rotary, attend, observe);
  const residual = tf.add(x, seen('self_attn', attended));
  const inner = norm('post_attention_layernorm', residual);
  return tf.add(residual, seen('mlp', swiglu(params, `${prefix}mlp`, inner)));
}
