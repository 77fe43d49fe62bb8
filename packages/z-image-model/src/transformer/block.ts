import {
  type Attend,
  applyRotaryPairs,
  joinHeads,
  linear,
  type Observe,
  type Params,
  param,
  type RotaryTables,
  rmsNorm,
  splitHeads,
  swiglu,
} from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { headDim, QK_NORM_EPS, type TransformerConfig } from './config';

/** What a time does to a block: factors of the input of each half and of its result, [B, 1, dim]. */
export interface Modulation {
  readonly attentionScale: tf.Tensor;
  readonly attentionGate: tf.Tensor;
  readonly mlpScale: tf.Tensor;
  readonly mlpGate: tf.Tensor;
}

/** The modulation of a block for time embeddings [B, width]: a linear layer without activation before it. */
export function blockModulation(
  params: Params,
  prefix: string,
  time: tf.Tensor,
  observe?: Observe,
): Modulation {
  const all = linear(params, `${prefix}adaLN_modulation.0`, time);
  observe?.(`${prefix}modulation`, all);
  const parts = tf.split(tf.expandDims(all, 1), 4, -1) as tf.Tensor[];
  const [scale, gate, mlpScale, mlpGate] = parts as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  return {
    attentionScale: tf.add(scale, 1),
    attentionGate: tf.tanh(gate),
    mlpScale: tf.add(mlpScale, 1),
    mlpGate: tf.tanh(mlpGate),
  };
}

/** Attention with q/k norms per head before the rotation, which turns neighbouring numbers. */
function attention(
  params: Params,
  prefix: string,
  config: TransformerConfig,
  x: tf.Tensor,
  rotary: RotaryTables,
  attend: Attend,
  observe?: Observe,
): tf.Tensor {
  const name = `${prefix}attention.`;
  const project = (part: 'q' | 'k' | 'v') => {
    const y = linear(params, `${name}to_${part}`, x);
    observe?.(`${prefix}to_${part}`, y);
    return splitHeads(y, headDim(config));
  };
  const turned = (part: 'q' | 'k') => {
    const heads = project(part);
    const normed = config.qkNorm
      ? rmsNorm(heads, param(params, `${name}norm_${part}.weight`), QK_NORM_EPS)
      : heads;
    observe?.(`${prefix}norm_${part}`, normed);
    return applyRotaryPairs(normed, rotary);
  };
  const joined = joinHeads(attend(turned('q'), turned('k'), project('v')));
  observe?.(`${prefix}to_out_input`, joined);
  return linear(params, `${name}to_out.0`, joined);
}

/**
 * One block over x [B, T, dim]: each half is normed before and after, and added; with a modulation its input is scaled and its
 * result gated. `prefix` ends in a dot, or is empty when `params` holds one block's own names.
 */
export function transformerBlock(
  params: Params,
  prefix: string,
  config: TransformerConfig,
  x: tf.Tensor,
  rotary: RotaryTables,
  attend: Attend,
  modulation?: Modulation,
  observe?: Observe,
): tf.Tensor {
  const seen = (name: string, value: tf.Tensor) => {
    observe?.(prefix + name, value);
    return value;
  };
  const norm = (name: string, y: tf.Tensor) =>
    seen(name, rmsNorm(y, param(params, `${prefix}${name}.weight`), config.normEps));
  const times = (y: tf.Tensor, factor: tf.Tensor | undefined) => (factor ? tf.mul(y, factor) : y);

  const normed = times(norm('attention_norm1', x), modulation?.attentionScale);
  const attended = seen('attention', attention(params, prefix, config, normed, rotary, attend, observe));
  const half = tf.add(x, times(norm('attention_norm2', attended), modulation?.attentionGate));

  const inner = times(norm('ffn_norm1', half), modulation?.mlpScale);
  const fed = seen('feed_forward', swiglu(params, `${prefix}feed_forward`, inner, ['w1', 'w3', 'w2']));
  return tf.add(half, times(norm('ffn_norm2', fed), modulation?.mlpGate));
}
