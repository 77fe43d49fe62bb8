import type { Params } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { ClipConfig } from './config';

/** The model configuration of open_clip, as its JSON files have it. */
export interface OpenClipConfig {
  quick_gelu?: boolean;
  vision_cfg: { image_size: number; width: number; head_width?: number };
  text_cfg: { heads: number };
  layer_norm_eps?: number;
}

/** open_clip's ViT-H-14, the body of HPSv2. */
export const VIT_H_14: OpenClipConfig = {
  vision_cfg: { image_size: 224, width: 1280, head_width: 80 },
  text_cfg: { heads: 16 },
};

/** The same model described as for transformers. Texts are pooled at their largest id. */
export function openClipConfig(config: OpenClipConfig): ClipConfig {
  const { quick_gelu = false, vision_cfg, text_cfg, layer_norm_eps: eps = 1e-5 } = config;
  const activation = quick_gelu ? 'quick_gelu' : 'gelu';
  const heads = vision_cfg.width / (vision_cfg.head_width ?? 64);
  return {
    vision: { heads, activation, eps, imageSize: vision_cfg.image_size },
    text: { heads: text_cfg.heads, activation, eps, eosTokenId: 2 },
  };
}

const TOP: Record<string, string> = {
  logit_scale: 'logit_scale',
  'visual.class_embedding': 'vision_model.embeddings.class_embedding',
  'visual.positional_embedding': 'vision_model.embeddings.position_embedding.weight',
  'visual.conv1.weight': 'vision_model.embeddings.patch_embedding.weight',
  'token_embedding.weight': 'text_model.embeddings.token_embedding.weight',
  positional_embedding: 'text_model.embeddings.position_embedding.weight',
};
const NORMS: Record<string, string> = {
  'visual.ln_pre': 'vision_model.pre_layrnorm',
  'visual.ln_post': 'vision_model.post_layernorm',
  ln_final: 'text_model.final_layer_norm',
};
const PROJECTIONS: Record<string, string> = {
  'visual.proj': 'visual_projection.weight',
  text_projection: 'text_projection.weight',
};
const BLOCK: Record<string, string> = {
  'attn.out_proj': 'self_attn.out_proj',
  ln_1: 'layer_norm1',
  ln_2: 'layer_norm2',
  'mlp.c_fc': 'mlp.fc1',
  'mlp.c_proj': 'mlp.fc2',
};

/** Whether this is a weight of the two towers under open_clip's name. */
export function isOpenClipName(name: string): boolean {
  return renamed(name) !== undefined || name in PROJECTIONS || fused(name) !== undefined;
}

function layerOf(name: string): { layer: string; rest: string } | undefined {
  const match = name.match(/^(visual\.)?transformer\.resblocks\.(\d+)\.(.+)$/);
  if (!match) return undefined;
  const tower = match[1] ? 'vision_model' : 'text_model';
  return { layer: `${tower}.encoder.layers.${match[2]}`, rest: match[3]! };
}

function fused(name: string): { layer: string; kind: string } | undefined {
  const block = layerOf(name);
  const kind = block?.rest.match(/^attn\.in_proj_(weight|bias)$/)?.[1];
  return block && kind ? { layer: block.layer, kind } : undefined;
}

function renamed(name: string): string | undefined {
  if (name in TOP) return TOP[name];
  const [, stem, kind] = name.match(/^(.+)\.(weight|bias)$/) ?? [];
  if (!stem) return undefined;
  if (stem in NORMS) return `${NORMS[stem]}.${kind}`;
  const block = layerOf(stem);
  return block && block.rest in BLOCK ? `${block.layer}.${BLOCK[block.rest]}.${kind}` : undefined;
}

/**
 * open_clip's weights under transformers' names: the fused query, key and value are split and both projections
 * transposed. New tensors, which share their data where nothing changed; the given ones stay. Throws for a
 * name that open_clip's towers do not have.
 */
export function fromOpenClip(params: Params): Params {
  const out: Params = {};
  for (const [name, tensor] of Object.entries(params)) {
    const target = renamed(name);
    const qkv = fused(name);
    if (target) {
      out[target] = tf.clone(tensor);
    } else if (name in PROJECTIONS) {
      out[PROJECTIONS[name]!] = tf.transpose(tensor);
    } else if (qkv) {
      tf.split(tensor, 3, 0).forEach((part, i) => {
        out[`${qkv.layer}.self_attn.${['q_proj', 'k_proj', 'v_proj'][i]}.${qkv.kind}`] = part;
      });
    } else {
      throw new Error(`'${name}' is not a weight of open_clip's CLIP.`);
    }
  }
  return out;
}
