import type { ParameterSpec, ParameterStart } from '@flow-grpo/nn';
import { z } from 'zod';

/** Sizes of a Qwen3 language model. */
export interface TextEncoderConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly ropeTheta: number;
  readonly rmsNormEps: number;
  readonly attentionBias: boolean;
}

/** Qwen3-4B, the text encoder of Z-Image. */
export const QWEN3_4B: TextEncoderConfig = {
  hiddenSize: 2560,
  intermediateSize: 9728,
  layers: 36,
  heads: 32,
  kvHeads: 8,
  headDim: 128,
  vocabSize: 151_936,
  ropeTheta: 1_000_000,
  rmsNormEps: 1e-6,
  attentionBias: false,
};

const size = z.int().positive();
const schema = z.looseObject({
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size.min(2),
  num_attention_heads: size,
  num_key_value_heads: size,
  head_dim: size.optional(),
  vocab_size: size,
  rope_theta: z.number().positive().optional(),
  rope_parameters: z
    .looseObject({
      rope_theta: z.number().positive().optional(),
      rope_type: z.literal('default', 'scaled rotary embeddings are not supported').optional(),
    })
    .nullish(),
  rope_scaling: z.null('scaled rotary embeddings are not supported').optional(),
  rms_norm_eps: z.number().positive(),
  attention_bias: z.boolean().default(false),
  hidden_act: z.literal('silu', 'only silu is supported').default('silu'),
  use_sliding_window: z.literal(false, 'sliding windows are not supported').default(false),
});

/**
 * Reads text_encoder/config.json, or any other configuration of a Qwen3.
 *
 * @throws naming `source` and the field that is missing, wrong or not supported
 */
export function parseTextEncoderConfig(
  value: unknown,
  source = 'text_encoder/config.json',
): TextEncoderConfig {
  const result = schema.safeParse(value);
  if (!result.success) throw new Error(`${source} is not valid: ${z.prettifyError(result.error)}`);
  const json = result.data;
  return {
    hiddenSize: json.hidden_size,
    intermediateSize: json.intermediate_size,
    layers: json.num_hidden_layers,
    heads: json.num_attention_heads,
    kvHeads: json.num_key_value_heads,
    headDim: json.head_dim ?? json.hidden_size / json.num_attention_heads,
    vocabSize: json.vocab_size,
    ropeTheta: json.rope_theta ?? json.rope_parameters?.rope_theta ?? QWEN3_4B.ropeTheta,
    rmsNormEps: json.rms_norm_eps,
    attentionBias: json.attention_bias,
  };
}

/** The same as transformers writes it. */
export const textEncoderConfigJson = (config: TextEncoderConfig): Record<string, unknown> => ({
  architectures: ['Qwen3Model'],
  attention_bias: config.attentionBias,
  head_dim: config.headDim,
  hidden_act: 'silu',
  hidden_size: config.hiddenSize,
  intermediate_size: config.intermediateSize,
  model_type: 'qwen3',
  num_attention_heads: config.heads,
  num_hidden_layers: config.layers,
  num_key_value_heads: config.kvHeads,
  rms_norm_eps: config.rmsNormEps,
  rope_theta: config.ropeTheta,
  vocab_size: config.vocabSize,
});

/** Where the layers start in the parameters' names. */
export const TEXT_LAYERS = 'layers.';
export const TEXT_EMBEDDING = 'embed_tokens.weight';

/** Layers that a state depends on: all but the last one. */
export const usedLayers = ({ layers }: TextEncoderConfig): number => layers - 1;

/** Whether the states depend on the parameter: not on the last layer, nor on the norm behind it. */
export const isUsed = (name: string, config: TextEncoderConfig): boolean =>
  name === TEXT_EMBEDDING ||
  Array.from({ length: usedLayers(config) }).some((_, i) => name.startsWith(`${TEXT_LAYERS}${i}.`));

/** Every parameter of the model: transformers' name, its shape, and how transformers starts it. */
export function textEncoderSpecs(config: TextEncoderConfig): Record<string, ParameterSpec> {
  const specs: Record<string, ParameterSpec> = {};
  const start: ParameterStart = { normal: 0.02 };
  const { hiddenSize, intermediateSize, headDim } = config;
  const norm = (name: string, width: number) => {
    specs[`${name}.weight`] = { shape: [width], start: { constant: 1 } };
  };
  const linear = (name: string, out: number, into: number, bias = false) => {
    specs[`${name}.weight`] = { shape: [out, into], start };
    if (bias) specs[`${name}.bias`] = { shape: [out], start: { constant: 0 } };
  };
  specs[TEXT_EMBEDDING] = { shape: [config.vocabSize, hiddenSize], start };
  for (let i = 0; i < config.layers; i++) {
    const p = `${TEXT_LAYERS}${i}.`;
    const bias = config.attentionBias;
    linear(`${p}self_attn.q_proj`, config.heads * headDim, hiddenSize, bias);
    linear(`${p}self_attn.k_proj`, config.kvHeads * headDim, hiddenSize, bias);
    linear(`${p}self_attn.v_proj`, config.kvHeads * headDim, hiddenSize, bias);
    linear(`${p}self_attn.o_proj`, hiddenSize, config.heads * headDim, bias);
    norm(`${p}self_attn.q_norm`, headDim);
    norm(`${p}self_attn.k_norm`, headDim);
    linear(`${p}mlp.gate_proj`, intermediateSize, hiddenSize);
    linear(`${p}mlp.up_proj`, intermediateSize, hiddenSize);
    linear(`${p}mlp.down_proj`, hiddenSize, intermediateSize);
    norm(`${p}input_layernorm`, hiddenSize);
    norm(`${p}post_attention_layernorm`, hiddenSize);
  }
  norm('norm', hiddenSize);
  return specs;
}
