/** The names under which published files keep the same weights. */
import { type Params, unstackLayers } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { TransformerConfig } from '../transformer';
import { finalLayerName, imageEmbedder } from '../transformer/specs';

/** transformers' names of a Qwen3 with or without its language-model class around it. */
export const textEncoderName = (stored: string): string => stored.replace(/^model\./, '');

const PREFIX = /^model\.diffusion_model\./;

/**
 * diffusers' name of a transformer's weight, which single-file checkpoints (ComfyUI) call otherwise. Queries, keys and values,
 * which these hold as one, keep the name `attention.qkv.weight` until `splitProjections`.
 */
export function transformerName(stored: string, config: TransformerConfig): string {
  return stored
    .replace(PREFIX, '')
    .replace(/^x_embedder\./, `${imageEmbedder(config)}.`)
    .replace(/^final_layer\./, `${finalLayerName(config)}.`)
    .replace('.attention.out.', '.attention.to_out.0.')
    .replace('.attention.q_norm.', '.attention.norm_q.')
    .replace('.attention.k_norm.', '.attention.norm_k.');
}

const FUSED = '.attention.qkv.weight';
const PARTS = ['to_q', 'to_k', 'to_v'];
const partsOf = (fused: string) =>
  PARTS.map((part) => fused.replace(FUSED, `.attention.${part}.weight`)) as [string, string, string];

/** Shapes with the fused projections as three. */
export const splitShapes = (
  shapes: Readonly<Record<string, readonly number[]>>,
): Record<string, readonly number[]> =>
  Object.fromEntries(
    Object.entries(shapes).flatMap(([name, shape]): [string, readonly number[]][] => {
      if (!name.endsWith(FUSED)) return [[name, shape]];
      return partsOf(name).map((part) => [part, [shape[0]! / PARTS.length, ...shape.slice(1)]]);
    }),
  );

/** Weights with the fused projections as three; the fused ones are disposed of. */
export function splitProjections(params: Params): Params {
  const out: Params = {};
  for (const [name, weight] of Object.entries(params)) {
    if (!name.endsWith(FUSED)) {
      out[name] = weight;
      continue;
    }
    const parts = tf.split(weight, PARTS.length, 0);
    for (const [i, part] of partsOf(name).entries()) out[part] = parts[i]!;
    weight.dispose();
  }
  return out;
}

/** All parameters under diffusers' names: what was stacked is new, everything else the given tensors. */
export const diffusersNames = (params: Params): Params => unstackLayers(params);
