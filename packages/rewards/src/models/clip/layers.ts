import { gelu, layerNorm, linear, type Params, param, quickGelu } from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { ClipTowerConfig } from './config';

/** Layer norm with `name.weight` and `name.bias`. */
export function namedNorm(params: Params, name: string, x: tf.Tensor, eps: number): tf.Tensor {
  return layerNorm(x, param(params, `${name}.weight`), param(params, `${name}.bias`), eps);
}

/** [B, T, D] as [B, T, heads, D / heads]. */
export function splitHeads(x: tf.Tensor, heads: number): tf.Tensor {
  const [batch, length, width] = x.shape as [number, number, number];
  if (width % heads !== 0) throw new Error(`A width of ${width} does not divide into ${heads} heads.`);
  return tf.reshape(x, [batch, length, heads, width / heads]);
}

/** [B, T, N, D] as [B, T, N · D]. */
export function joinHeads(x: tf.Tensor): tf.Tensor {
  const [batch, length, heads, size] = x.shape as [number, number, number, number];
  return tf.reshape(x, [batch, length, heads * size]);
}

/** How many consecutive `prefix.N.` blocks the parameters hold. */
export function countBlocks(params: Params, prefix: string): number {
  const names = Object.keys(params);
  let count = 0;
  while (names.some((name) => name.startsWith(`${prefix}.${count}.`))) count++;
  if (count === 0) throw new Error(`The parameters hold no '${prefix}.0.*'.`);
  return count;
}

/** The pre-norm transformer `name.layers.N` of one tower, [B, T, D] to [B, T, D]. */
export function clipEncoder(
  params: Params,
  name: string,
  config: ClipTowerConfig,
  tokens: tf.Tensor,
  attention: { causal: boolean; mask?: tf.Tensor },
): tf.Tensor {
  const activate = config.activation === 'gelu' ? gelu : quickGelu;
  const depth = countBlocks(params, `${name}.layers`);
  let x = tokens;
  for (let i = 0; i < depth; i++) {
    const layer = `${name}.layers.${i}`;
    const normed = namedNorm(params, `${layer}.layer_norm1`, x, config.eps);
    const project = (part: string) =>
      splitHeads(linear(params, `${layer}.self_attn.${part}`, normed), config.heads);
    const attended = scaledDotProductAttention(
      project('q_proj'),
      project('k_proj'),
      project('v_proj'),
      attention,
    );
    x = tf.add(x, linear(params, `${layer}.self_attn.out_proj`, joinHeads(attended)));
    const again = namedNorm(params, `${layer}.layer_norm2`, x, config.eps);
    const wide = activate(linear(params, `${layer}.mlp.fc1`, again));
    x = tf.add(x, linear(params, `${layer}.mlp.fc2`, wide));
  }
  return x;
}
