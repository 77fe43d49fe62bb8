import { geluTanh, joinHeads, layerNorm, linear, type Params, param, splitHeads } from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { VisionConfig } from '../config/config';

/** One SigLIP encoder layer over [B, N, hidden]: full attention, tanh GELU, LayerNorm before each half. */
export function visionLayer(params: Params, prefix: string, config: VisionConfig, x: tf.Tensor): tf.Tensor {
  const norm = (y: tf.Tensor, name: string) =>
    layerNorm(
      y,
      param(params, `${prefix}${name}.weight`),
      param(params, `${prefix}${name}.bias`),
      config.layerNormEps,
    );
  const normed = norm(x, 'layer_norm1');
  const project = (name: string) =>
    splitHeads(linear(params, `${prefix}self_attn.${name}`, normed), config.hiddenSize / config.heads);
  const attended = scaledDotProductAttention(project('q_proj'), project('k_proj'), project('v_proj'));
  const residual = tf.add(x, linear(params, `${prefix}self_attn.out_proj`, joinHeads(attended)));
  const inner = geluTanh(linear(params, `${prefix}mlp.fc1`, norm(residual, 'layer_norm2')));
  return tf.add(residual, linear(params, `${prefix}mlp.fc2`, inner));
}
