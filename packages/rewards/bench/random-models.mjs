/** Checkpoint folders with random weights in the published layouts, for models of any size. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';

/** Sizes of towers: `base` as ViT-B/32, the others as published. */
export const TOWERS = {
  base: { vision: [768, 12, 32, 12], text: [512, 12, 8], projection: 512 },
  large: { vision: [1024, 24, 14, 16], text: [768, 12, 12], projection: 768 },
  huge: { vision: [1280, 32, 14, 16], text: [1024, 24, 16], projection: 1024 },
};
const BLIP = { base: [768, 12, 12], large: [1024, 24, 16] };
const PIXELS = 224;
const VOCABULARY = 49408;

const random = (...shape) => {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  for (let i = 0, state = values.length; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = (state / 2 ** 32 - 0.5) * 0.07;
  }
  return { dtype: 'float32', shape, bytes: new Uint8Array(values.buffer) };
};

const linear = (params, name, to, from) => {
  params[`${name}.weight`] = random(to, from);
  params[`${name}.bias`] = random(to);
};
const norm = (params, name, width) => {
  params[`${name}.weight`] = random(width);
  params[`${name}.bias`] = random(width);
};

/** Words of one letter: what a scorer needs to make rows of ids. */
function writeTokenizer(folder, start, end) {
  const token = (id, content) => ({
    ...{ id, content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
  });
  const special = (id) => ({ SpecialToken: { id, type_id: 0 } });
  const letters = Object.fromEntries([...'abcdefghijklmnopqrstuvwxyz'].map((letter, i) => [letter, i + 3]));
  const json = {
    ...{ version: '1.0', truncation: null, padding: null, decoder: null },
    added_tokens: [token(start, '<s>'), token(end, '</s>')],
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'Whitespace' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [special('<s>'), { Sequence: { id: 'A', type_id: 0 } }, special('</s>')],
      pair: [],
      special_tokens: {
        '<s>': { id: '<s>', ids: [start], tokens: ['<s>'] },
        '</s>': { id: '</s>', ids: [end], tokens: ['</s>'] },
      },
    },
    model: {
      ...{ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: '' },
      ...{ end_of_word_suffix: '', fuse_unk: false, merges: [] },
      vocab: { ...letters, '<s>': start, '</s>': end },
    },
  };
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json));
}

/** A transformers CLIPModel; gives its folder. */
export async function writeClip(root, size) {
  const { vision, text, projection } = TOWERS[size];
  const folder = join(root, `clip-${size}`);
  mkdirSync(folder, { recursive: true });
  const params = {
    logit_scale: { dtype: 'float32', shape: [], bytes: new Uint8Array(Float32Array.of(4.6).buffer) },
  };
  const tower = (name, width, layers) => {
    for (let i = 0; i < layers; i++) {
      const layer = `${name}.encoder.layers.${i}`;
      for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) {
        linear(params, `${layer}.self_attn.${part}`, width, width);
      }
      norm(params, `${layer}.layer_norm1`, width);
      norm(params, `${layer}.layer_norm2`, width);
      linear(params, `${layer}.mlp.fc1`, 4 * width, width);
      linear(params, `${layer}.mlp.fc2`, width, 4 * width);
    }
  };
  const [width, layers, patch, heads] = vision;
  const [textWidth, textLayers, textHeads] = text;
  tower('vision_model', width, layers);
  tower('text_model', textWidth, textLayers);
  const embeddings = 'vision_model.embeddings';
  params[`${embeddings}.class_embedding`] = random(width);
  params[`${embeddings}.patch_embedding.weight`] = random(width, 3, patch, patch);
  params[`${embeddings}.position_embedding.weight`] = random((PIXELS / patch) ** 2 + 1, width);
  norm(params, 'vision_model.pre_layrnorm', width);
  norm(params, 'vision_model.post_layernorm', width);
  params['text_model.embeddings.token_embedding.weight'] = random(VOCABULARY, textWidth);
  params['text_model.embeddings.position_embedding.weight'] = random(77, textWidth);
  norm(params, 'text_model.final_layer_norm', textWidth);
  params['visual_projection.weight'] = random(projection, width);
  params['text_projection.weight'] = random(projection, textWidth);
  await saveSafetensors(join(folder, 'model.safetensors'), params);
  const config = {
    projection_dim: projection,
    vision_config: { num_attention_heads: heads, image_size: PIXELS, patch_size: patch, hidden_size: width },
    text_config: { num_attention_heads: textHeads, hidden_size: textWidth, eos_token_id: VOCABULARY - 1 },
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const size224 = { size: { shortest_edge: PIXELS }, crop_size: { height: PIXELS, width: PIXELS } };
  writeFileSync(join(folder, 'preprocessor_config.json'), JSON.stringify(size224));
  writeTokenizer(folder, VOCABULARY - 2, VOCABULARY - 1);
  return folder;
}

/** The aesthetic predictor's head over the features of `writeClip`; gives its file. */
export async function writeAestheticHead(root, size) {
  const params = {};
  const widths = [TOWERS[size].projection, 1024, 128, 64, 16, 1];
  for (const [i, index] of [0, 2, 4, 6, 7].entries()) {
    linear(params, `layers.${index}`, widths[i + 1], widths[i]);
  }
  const file = join(root, `head-${size}.safetensors`);
  await saveSafetensors(file, params);
  return file;
}

/** ImageReward's BLIP; gives the options of `imageReward`. */
export async function writeBlip(root, size) {
  const [width, layers, heads] = BLIP[size];
  const folder = join(root, `blip-${size}`);
  mkdirSync(folder, { recursive: true });
  const text = 768;
  const params = {};
  const seen = 'blip.visual_encoder';
  params[`${seen}.cls_token`] = random(1, 1, width);
  params[`${seen}.pos_embed`] = random(1, (PIXELS / 16) ** 2 + 1, width);
  params[`${seen}.patch_embed.proj.weight`] = random(width, 3, 16, 16);
  params[`${seen}.patch_embed.proj.bias`] = random(width);
  for (let i = 0; i < layers; i++) {
    const block = `${seen}.blocks.${i}`;
    norm(params, `${block}.norm1`, width);
    norm(params, `${block}.norm2`, width);
    linear(params, `${block}.attn.qkv`, 3 * width, width);
    linear(params, `${block}.attn.proj`, width, width);
    linear(params, `${block}.mlp.fc1`, 4 * width, width);
    linear(params, `${block}.mlp.fc2`, width, 4 * width);
  }
  norm(params, `${seen}.norm`, width);
  const read = 'blip.text_encoder';
  params[`${read}.embeddings.word_embeddings.weight`] = random(30524, text);
  params[`${read}.embeddings.position_embeddings.weight`] = random(512, text);
  norm(params, `${read}.embeddings.LayerNorm`, text);
  for (let i = 0; i < 12; i++) {
    const layer = `${read}.encoder.layer.${i}`;
    for (const [part, source] of [
      ['attention', text],
      ['crossattention', width],
    ]) {
      linear(params, `${layer}.${part}.self.query`, text, text);
      linear(params, `${layer}.${part}.self.key`, text, source);
      linear(params, `${layer}.${part}.self.value`, text, source);
      linear(params, `${layer}.${part}.output.dense`, text, text);
      norm(params, `${layer}.${part}.output.LayerNorm`, text);
    }
    linear(params, `${layer}.intermediate.dense`, 4 * text, text);
    linear(params, `${layer}.output.dense`, text, 4 * text);
    norm(params, `${layer}.output.LayerNorm`, text);
  }
  const widths = [text, 1024, 128, 64, 16, 1];
  for (const [i, index] of [0, 2, 4, 6, 7].entries()) {
    linear(params, `mlp.layers.${index}`, widths[i + 1], widths[i]);
  }
  await saveSafetensors(join(folder, 'model.safetensors'), params);
  writeTokenizer(folder, 101, 102);
  const config = {
    vision: { imageSize: PIXELS, heads, eps: 1e-6 },
    text: { heads: 12, eps: 1e-12 },
    mean: 0.167,
    std: 1.033,
  };
  return { model: folder, processor: folder, config };
}

/** HPSv2's open_clip model; gives the options of `hpsv2`. */
export async function writeOpenClip(root, size) {
  const { vision, text, projection } = TOWERS[size];
  const folder = join(root, `open-clip-${size}`);
  mkdirSync(folder, { recursive: true });
  const params = {};
  const tower = (prefix, width, layers) => {
    for (let i = 0; i < layers; i++) {
      const block = `${prefix}transformer.resblocks.${i}`;
      params[`${block}.attn.in_proj_weight`] = random(3 * width, width);
      params[`${block}.attn.in_proj_bias`] = random(3 * width);
      linear(params, `${block}.attn.out_proj`, width, width);
      norm(params, `${block}.ln_1`, width);
      norm(params, `${block}.ln_2`, width);
      linear(params, `${block}.mlp.c_fc`, 4 * width, width);
      linear(params, `${block}.mlp.c_proj`, width, 4 * width);
    }
  };
  const [width, layers, patch, heads] = vision;
  const [textWidth, textLayers, textHeads] = text;
  tower('visual.', width, layers);
  tower('', textWidth, textLayers);
  params['visual.class_embedding'] = random(width);
  params['visual.positional_embedding'] = random((PIXELS / patch) ** 2 + 1, width);
  params['visual.conv1.weight'] = random(width, 3, patch, patch);
  params['token_embedding.weight'] = random(VOCABULARY, textWidth);
  params.positional_embedding = random(77, textWidth);
  norm(params, 'visual.ln_pre', width);
  norm(params, 'visual.ln_post', width);
  norm(params, 'ln_final', textWidth);
  params['visual.proj'] = random(width, projection);
  params.text_projection = random(textWidth, projection);
  const file = join(folder, 'model.safetensors');
  await saveSafetensors(file, params);
  writeTokenizer(folder, VOCABULARY - 2, VOCABULARY - 1);
  const vision_cfg = { image_size: PIXELS, width, head_width: width / heads };
  return { model: file, processor: folder, config: { vision_cfg, text_cfg: { heads: textHeads } } };
}
