/** Random checkpoints on disk, in the layout in which one downloads real ones. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RawTensor, saveSafetensors } from '@flow-grpo/checkpoint-io';
import { showo2ParameterSpecs, showo2ConfigJson, vaeConfigJson, vaeParamShapes } from '@flow-grpo/showo2-model';
import { toBytes } from '@flow-grpo/tfjs-jit';
import type { ClipSizes, Workload } from '../workload';
import { randomParams } from './random-params';

type Shapes = Record<string, readonly number[]>;

/** Ids of the CLIP tokenizer's two special tokens: the last two of its vocabulary. */
const specialTokens = ({ text }: ClipSizes) => ({ start: text.vocabulary - 2, end: text.vocabulary - 1 });

/** Writes PickScore's files: a transformers CLIPModel with its processor and a tokenizer of letters. */
export async function writeClip({ clip }: Workload, folder: string): Promise<void> {
  const { vision, text, projection } = clip;
  mkdirSync(folder, { recursive: true });
  const tower = ({ width, intermediate, layers, heads }: typeof vision | typeof text) => ({
    hidden_size: width,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    hidden_act: 'gelu',
  });
  const { start, end } = specialTokens(clip);
  writeJson(folder, 'config.json', {
    projection_dim: projection,
    vision_config: { ...tower(vision), image_size: vision.imageSize, patch_size: vision.patchSize },
    text_config: { ...tower(text), vocab_size: text.vocabulary, eos_token_id: end },
  });
  writeJson(folder, 'preprocessor_config.json', {
    size: { shortest_edge: vision.imageSize },
    crop_size: { height: vision.imageSize, width: vision.imageSize },
  });
  writeJson(folder, 'tokenizer.json', letterTokenizer(start, end));
  await writeRandom(clipShapes(clip), join(folder, 'model.safetensors'), 4);
}

/** Writes Show-o2 and its VAE: config.json, model.safetensors and vae/. Returns the bytes of weights. */
export async function writeShowo2({ showo2, vae }: Workload, folder: string): Promise<number> {
  mkdirSync(join(folder, 'vae'), { recursive: true });
  writeJson(folder, 'config.json', showo2ConfigJson(showo2));
  writeJson(join(folder, 'vae'), 'config.json', vaeConfigJson(vae));
  const specs = Object.entries(showo2ParameterSpecs(showo2)).map(([name, { shape }]) => [name, shape] as const);
  const model = await writeRandom(Object.fromEntries(specs), join(folder, 'model.safetensors'), 1);
  return model + (await writeRandom(vaeParamShapes(vae), join(folder, 'vae', 'model.safetensors'), 2));
}

/** Draws weights on the device and writes them as bfloat16; returns their bytes. */
async function writeRandom(shapes: Shapes, file: string, seed: number): Promise<number> {
  const params = await randomParams(shapes, 'bfloat16', seed);
  const raw: Record<string, RawTensor> = {};
  let total = 0;
  for (const [name, tensor] of Object.entries(params)) {
    const bytes = await toBytes(tensor);
    // Where the backend has no bfloat16 the bytes are float32.
    const dtype = bytes.byteLength === 2 * tensor.size ? 'bfloat16' : 'float32';
    raw[name] = { dtype, shape: tensor.shape, bytes };
    total += bytes.byteLength;
    tensor.dispose();
  }
  await saveSafetensors(file, raw);
  return total;
}

/** Every weight of a transformers CLIPModel. */
export function clipShapes({ vision, text, projection }: ClipSizes): Shapes {
  const shapes: Shapes = { logit_scale: [] };
  const layers = (prefix: string, { width, intermediate, layers }: typeof vision | typeof text) => {
    const linear = (name: string, outputs: number, inputs: number) => {
      shapes[`${name}.weight`] = [outputs, inputs];
      shapes[`${name}.bias`] = [outputs];
    };
    for (let i = 0; i < layers; i++) {
      const layer = `${prefix}.encoder.layers.${i}`;
      for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj'])
        linear(`${layer}.self_attn.${part}`, width, width);
      linear(`${layer}.mlp.fc1`, intermediate, width);
      linear(`${layer}.mlp.fc2`, width, intermediate);
      for (const norm of ['layer_norm1', 'layer_norm2']) norms(`${layer}.${norm}`, width);
    }
  };
  const norms = (name: string, width: number) => {
    shapes[`${name}.weight`] = [width];
    shapes[`${name}.bias`] = [width];
  };
  const patches = (vision.imageSize / vision.patchSize) ** 2;
  const embeddings = 'vision_model.embeddings';
  shapes[`${embeddings}.class_embedding`] = [vision.width];
  shapes[`${embeddings}.patch_embedding.weight`] = [vision.width, 3, vision.patchSize, vision.patchSize];
  shapes[`${embeddings}.position_embedding.weight`] = [patches + 1, vision.width];
  for (const norm of ['pre_layrnorm', 'post_layernorm']) norms(`vision_model.${norm}`, vision.width);
  layers('vision_model', vision);
  shapes['text_model.embeddings.token_embedding.weight'] = [text.vocabulary, text.width];
  shapes['text_model.embeddings.position_embedding.weight'] = [text.positions, text.width];
  norms('text_model.final_layer_norm', text.width);
  layers('text_model', text);
  shapes['visual_projection.weight'] = [projection, vision.width];
  shapes['text_projection.weight'] = [projection, text.width];
  return shapes;
}

/** A tokenizer.json that knows the letters, one token each, between a start and an end. */
function letterTokenizer(start: number, end: number): object {
  const letters = Array.from({ length: 26 }, (_, i) => [String.fromCharCode(97 + i), 3 + i] as const);
  const specials = [
    ['<s>', start],
    ['</s>', end],
  ] as const;
  const [first, last] = specials.map(([id]) => ({ SpecialToken: { id, type_id: 0 } }));
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
  return {
    version: '1.0',
    decoder: null,
    added_tokens: specials.map(([content, id]) => ({ id, content, special: true })),
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'Whitespace' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [first, text('A'), last],
      pair: [first, text('A'), text('B'), last],
      special_tokens: Object.fromEntries(
        specials.map(([id, number]) => [id, { id, ids: [number], tokens: [id] }]),
      ),
    },
    model: { type: 'BPE', vocab: Object.fromEntries([...letters, ...specials]), merges: [] },
  };
}

const writeJson = (folder: string, name: string, value: unknown) =>
  writeFileSync(join(folder, name), JSON.stringify(value));
