/** Writes a Show-o2's configuration in upstream's field names. */
import type { Showo2Config, TokenIds } from './config';

/** The inverse of `parseShowo2Config`: what to write to config.json so that the checkpoint can be read back. */
export function showo2ConfigJson(config: Showo2Config): Record<string, unknown> {
  const { trunk, vision, head, tokens } = config;
  return {
    _class_name: 'Showo2Qwen2_5',
    image_latent_dim: config.latentChannels,
    image_latent_height: config.gridHeight,
    image_latent_width: config.gridWidth,
    patch_size: config.patchSize,
    hidden_size: trunk.hiddenSize,
    clip_latent_dim: vision.hiddenSize,
    num_diffusion_layers: head.layers,
    add_time_embeds: config.addTimeEmbeds,
    add_qk_norm: true,
    llm_vocab_size: config.vocabSize,
    position_embedding_grid: [config.positionGrid, config.positionGrid],
    time_embed: { frequency_embedding_size: config.timeFeatures },
    max_text_len: config.maxTextLength,
    llm: {
      hidden_size: trunk.hiddenSize,
      num_hidden_layers: trunk.layers,
      num_attention_heads: trunk.heads,
      num_key_value_heads: trunk.kvHeads,
      head_dim: trunk.headDim,
      intermediate_size: trunk.intermediateSize,
      rope_theta: trunk.ropeTheta,
      rms_norm_eps: trunk.rmsNormEps,
      tie_word_embeddings: trunk.tieWordEmbeddings,
    },
    siglip: {
      hidden_size: vision.hiddenSize,
      num_hidden_layers_used: vision.layers,
      num_attention_heads: vision.heads,
      intermediate_size: vision.intermediateSize,
      layer_norm_eps: vision.layerNormEps,
    },
    diffusion_head: {
      hidden_size: head.hiddenSize,
      intermediate_size: head.intermediateSize,
      num_attention_heads: head.heads,
      num_key_value_heads: head.kvHeads,
      head_dim: head.headDim,
      rms_norm_eps: head.rmsNormEps,
      qk_norm_eps: head.qkNormEps,
      final_norm_eps: head.finalNormEps,
      rope_theta: head.ropeTheta,
      rope_scaling: head.ropeScaling
        ? {
            rope_type: 'llama3',
            factor: head.ropeScaling.factor,
            low_freq_factor: head.ropeScaling.lowFreqFactor,
            high_freq_factor: head.ropeScaling.highFreqFactor,
            original_max_position_embeddings: head.ropeScaling.originalMaxPositions,
          }
        : null,
    },
    token_ids: tokenIdsJson(tokens),
  };
}

/** Token ids in upstream's field names: the `token_ids` block that `parseShowo2Config` reads. */
export function tokenIdsJson(tokens: TokenIds) {
  return {
    bos_id: tokens.bos,
    eos_id: tokens.eos,
    boi_id: tokens.boi,
    eoi_id: tokens.eoi,
    bov_id: tokens.bov,
    eov_id: tokens.eov,
    img_pad_id: tokens.imagePad,
    vid_pad_id: tokens.videoPad,
    pad_id: tokens.pad,
  };
}
