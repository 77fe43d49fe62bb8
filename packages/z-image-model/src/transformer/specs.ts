import type { ParameterSpec, ParameterStart } from '@flow-grpo/nn';
import {
  feedForwardDim,
  headDim,
  patchDim,
  patchName,
  TIME_FEATURES,
  TIME_HIDDEN,
  type TransformerConfig,
  timeDim,
} from './config';

/** Where the repeated blocks start in the parameters' names. */
export const BLOCKS = {
  noiseRefiner: 'noise_refiner.',
  contextRefiner: 'context_refiner.',
  layers: 'layers.',
} as const;

export const CAPTION_EMBEDDER = 'cap_embedder';
export const TIME_EMBEDDER = 't_embedder.mlp';
export const IMAGE_PADDING = 'x_pad_token';
export const CAPTION_PADDING = 'cap_pad_token';
export const imageEmbedder = (config: TransformerConfig): string => `all_x_embedder.${patchName(config)}`;
export const finalLayerName = (config: TransformerConfig): string => `all_final_layer.${patchName(config)}`;

/**
 * Every parameter of a transformer: diffusers' name, its shape, and how a new one starts (PyTorch's defaults, and a normal of
 * deviation 0.02 for the padding tokens).
 */
export function transformerSpecs(config: TransformerConfig): Record<string, ParameterSpec> {
  const { dim } = config;
  const specs: Record<string, ParameterSpec> = {};
  const linear = (name: string, out: number, into: number, bias = true) => {
    const start: ParameterStart = { uniform: 1 / Math.sqrt(into) };
    specs[`${name}.weight`] = { shape: [out, into], start };
    if (bias) specs[`${name}.bias`] = { shape: [out], start };
  };
  const norm = (name: string, width: number) => {
    specs[`${name}.weight`] = { shape: [width], start: { constant: 1 } };
  };
  const block = (name: string, modulated: boolean) => {
    if (config.qkNorm) for (const part of ['q', 'k']) norm(`${name}attention.norm_${part}`, headDim(config));
    for (const part of ['to_q', 'to_k', 'to_v', 'to_out.0'])
      linear(`${name}attention.${part}`, dim, dim, false);
    const hidden = feedForwardDim(config);
    linear(`${name}feed_forward.w1`, hidden, dim, false);
    linear(`${name}feed_forward.w2`, dim, hidden, false);
    linear(`${name}feed_forward.w3`, hidden, dim, false);
    for (const part of ['attention_norm1', 'ffn_norm1', 'attention_norm2', 'ffn_norm2'])
      norm(name + part, dim);
    if (modulated) linear(`${name}adaLN_modulation.0`, 4 * dim, timeDim(config));
  };
  for (const name of [IMAGE_PADDING, CAPTION_PADDING])
    specs[name] = { shape: [1, dim], start: { normal: 0.02 } };
  linear(imageEmbedder(config), dim, patchDim(config));
  linear(`${finalLayerName(config)}.linear`, patchDim(config), dim);
  linear(`${finalLayerName(config)}.adaLN_modulation.1`, dim, timeDim(config));
  for (let i = 0; i < config.refinerLayers; i++) block(`${BLOCKS.noiseRefiner}${i}.`, true);
  for (let i = 0; i < config.refinerLayers; i++) block(`${BLOCKS.contextRefiner}${i}.`, false);
  linear(`${TIME_EMBEDDER}.0`, TIME_HIDDEN, TIME_FEATURES);
  linear(`${TIME_EMBEDDER}.2`, timeDim(config), TIME_HIDDEN);
  norm(`${CAPTION_EMBEDDER}.0`, config.captionDim);
  linear(`${CAPTION_EMBEDDER}.1`, dim, config.captionDim);
  for (let i = 0; i < config.layers; i++) block(`${BLOCKS.layers}${i}.`, true);
  return specs;
}
