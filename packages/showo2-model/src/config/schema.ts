/** Reads a Show-o2's configuration: upstream's constructor arguments, checked, with the published sizes filled in. */
import { z } from 'zod';
import {
  defaultSequenceLength,
  type Showo2Config,
  type TokenIds,
  type TrunkConfig,
  textLimit,
  type VisionConfig,
} from './config';

const count = z.number().int().positive();

/** Sizes of the published Qwen2.5 models by hidden size (their config.json on the Hugging Face hub). */
const QWEN2_5: Record<
  number,
  { layers: number; heads: number; kvHeads: number; intermediate: number; tied: boolean }
> = {
  896: { layers: 24, heads: 14, kvHeads: 2, intermediate: 4864, tied: true },
  1536: { layers: 28, heads: 12, kvHeads: 2, intermediate: 8960, tied: true },
  2048: { layers: 36, heads: 16, kvHeads: 2, intermediate: 11008, tied: true },
  3584: { layers: 28, heads: 28, kvHeads: 4, intermediate: 18944, tied: false },
};

/** Special ids of the published Qwen2.5 tokenizer with Show-o2's additions (upstream `get_text_tokenizer`). */
export const QWEN2_5_TOKENS: TokenIds = {
  bos: 151644,
  eos: 151645,
  boi: 151652,
  eoi: 151653,
  bov: 151667,
  eov: 151668,
  imagePad: 151655,
  videoPad: 151656,
  pad: 151665,
};

/** Length of the Qwen2.5 tokenizer with Show-o2's additions. */
export const QWEN2_5_VOCABULARY = 151669;

const llmSchema = z.looseObject({
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count,
  head_dim: count.optional(),
  intermediate_size: count,
  rope_theta: z.number().positive().default(1e6),
  rms_norm_eps: z.number().positive().default(1e-6),
  tie_word_embeddings: z.boolean().default(true),
});

const visionSchema = z.looseObject({
  hidden_size: count,
  num_hidden_layers_used: count,
  num_attention_heads: count,
  intermediate_size: count,
  layer_norm_eps: z.number().positive().default(1e-6),
});

const headSchema = z.looseObject({
  hidden_size: count.default(2048),
  intermediate_size: count.default(8192),
  num_attention_heads: count.default(32),
  num_key_value_heads: count.default(8),
  head_dim: count.default(64),
  rms_norm_eps: z.number().positive().default(1e-5),
  qk_norm_eps: z.number().positive().default(1e-6),
  final_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().default(5e5),
  rope_scaling: z
    .looseObject({
      rope_type: z.literal('llama3').default('llama3'),
      factor: z.number().positive(),
      low_freq_factor: z.number().positive(),
      high_freq_factor: z.number().positive(),
      original_max_position_embeddings: count,
    })
    .nullable()
    .default({
      rope_type: 'llama3',
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    }),
});

const id = z.number().int().nonnegative();
const tokenSchema = z.looseObject({
  bos_id: id,
  eos_id: id,
  boi_id: id,
  eoi_id: id,
  bov_id: id,
  eov_id: id,
  img_pad_id: id,
  vid_pad_id: id,
  pad_id: id,
});

/**
 * Upstream's constructor arguments (what its config.json and the `model.showo` part of its YAML hold), with optional
 * blocks `llm`, `siglip`, `diffusion_head` and `token_ids` that give the sizes upstream takes from other repositories
 * or hard-codes. Without them the published sizes are filled in.
 */
const showo2Schema = z.looseObject({
  hidden_size: count,
  image_latent_dim: count.default(16),
  image_latent_height: count,
  image_latent_width: count,
  patch_size: count.default(2),
  clip_latent_dim: count.default(1152),
  num_diffusion_layers: count.default(10),
  add_time_embeds: z.boolean().default(true),
  llm_vocab_size: count.nullish(),
  position_embedding_grid: z.tuple([count, count]).optional(),
  time_embed: z.looseObject({ frequency_embedding_size: count.default(256) }).optional(),
  max_text_len: count.optional(),
  llm: llmSchema.optional(),
  siglip: visionSchema.optional(),
  diffusion_head: headSchema.optional(),
  token_ids: tokenSchema.optional(),
});

/**
 * Reads a configuration from upstream's constructor arguments: a checkpoint's parsed config.json, the `model.showo`
 * block of a YAML file, or the `config` of a parity case. `source` names it in errors.
 */
export function parseShowo2Config(value: unknown, source = 'the Show-o2 configuration'): Showo2Config {
  const result = showo2Schema.safeParse(value);
  if (!result.success) throw new Error(`${source} is not valid: ${z.prettifyError(result.error)}`);
  const c = result.data;
  const head = headSchema.parse(c.diffusion_head ?? {});
  const grid = c.position_embedding_grid ?? [27, 27];
  if (grid[0] !== grid[1]) throw new Error(`${source}: position_embedding_grid must be square, got ${grid}.`);
  if (head.hidden_size !== head.num_attention_heads * head.head_dim) {
    throw new Error(`${source}: diffusion_head.hidden_size must be num_attention_heads * head_dim.`);
  }
  const scaling = head.rope_scaling;
  const imageTokens = c.image_latent_height * c.image_latent_width;
  return {
    vocabSize: c.llm_vocab_size ?? QWEN2_5_VOCABULARY,
    latentChannels: c.image_latent_dim,
    gridHeight: c.image_latent_height,
    gridWidth: c.image_latent_width,
    patchSize: c.patch_size,
    positionGrid: grid[0],
    addTimeEmbeds: c.add_time_embeds,
    timeFeatures: c.time_embed?.frequency_embedding_size ?? 256,
    trunk: trunkConfig(c.hidden_size, c.llm, source),
    vision: visionConfig(c.clip_latent_dim, c.siglip, source),
    head: {
      hiddenSize: head.hidden_size,
      layers: c.num_diffusion_layers,
      heads: head.num_attention_heads,
      kvHeads: head.num_key_value_heads,
      headDim: head.head_dim,
      intermediateSize: head.intermediate_size,
      rmsNormEps: head.rms_norm_eps,
      qkNormEps: head.qk_norm_eps,
      finalNormEps: head.final_norm_eps,
      ropeTheta: head.rope_theta,
      ...(scaling && {
        ropeScaling: {
          factor: scaling.factor,
          lowFreqFactor: scaling.low_freq_factor,
          highFreqFactor: scaling.high_freq_factor,
          originalMaxPositions: scaling.original_max_position_embeddings,
        },
      }),
    },
    tokens: c.token_ids ? tokenIds(c.token_ids) : QWEN2_5_TOKENS,
    maxTextLength:
      c.max_text_len ?? textLimit(defaultSequenceLength(imageTokens), imageTokens, c.add_time_embeds),
  };
}

function trunkConfig(
  hidden: number,
  llm: z.infer<typeof llmSchema> | undefined,
  source: string,
): TrunkConfig {
  if (llm) {
    if (llm.hidden_size !== hidden) throw new Error(`${source}: llm.hidden_size differs from hidden_size.`);
    return {
      hiddenSize: hidden,
      layers: llm.num_hidden_layers,
      heads: llm.num_attention_heads,
      kvHeads: llm.num_key_value_heads,
      headDim: llm.head_dim ?? hidden / llm.num_attention_heads,
      intermediateSize: llm.intermediate_size,
      ropeTheta: llm.rope_theta,
      rmsNormEps: llm.rms_norm_eps,
      tieWordEmbeddings: llm.tie_word_embeddings,
    };
  }
  const known = QWEN2_5[hidden];
  if (!known) {
    throw new Error(
      `${source}: no published Qwen2.5 has hidden_size ${hidden}; add an 'llm' block with the sizes of its config.json.`,
    );
  }
  return {
    hiddenSize: hidden,
    layers: known.layers,
    heads: known.heads,
    kvHeads: known.kvHeads,
    headDim: hidden / known.heads,
    intermediateSize: known.intermediate,
    ropeTheta: 1e6,
    rmsNormEps: 1e-6,
    tieWordEmbeddings: known.tied,
  };
}

function visionConfig(
  width: number,
  siglip: z.infer<typeof visionSchema> | undefined,
  source: string,
): VisionConfig {
  if (!siglip) {
    if (width !== 1152)
      throw new Error(`${source}: clip_latent_dim ${width} needs a 'siglip' block with its sizes.`);
    return { hiddenSize: 1152, layers: 26, heads: 16, intermediateSize: 4304, layerNormEps: 1e-6 };
  }
  if (siglip.hidden_size !== width)
    throw new Error(`${source}: siglip.hidden_size differs from clip_latent_dim.`);
  return {
    hiddenSize: width,
    layers: siglip.num_hidden_layers_used,
    heads: siglip.num_attention_heads,
    intermediateSize: siglip.intermediate_size,
    layerNormEps: siglip.layer_norm_eps,
  };
}

function tokenIds(ids: z.infer<typeof tokenSchema>): TokenIds {
  return {
    bos: ids.bos_id,
    eos: ids.eos_id,
    boi: ids.boi_id,
    eoi: ids.eoi_id,
    bov: ids.bov_id,
    eov: ids.eov_id,
    imagePad: ids.img_pad_id,
    videoPad: ids.vid_pad_id,
    pad: ids.pad_id,
  };
}
