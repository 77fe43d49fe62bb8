/** The quickstart's model: Show-o2 and WanVAE as they are, with small numbers, and one word a token. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadParams } from '@flow-grpo/checkpoint-io';
import { GENEVAL_TAGS, type GenevalTag, shapeScenes } from '@flow-grpo/datasets';
import {
  parseShowo2Config,
  parseVaeConfig,
  parseWordVocabulary,
  type Showo2Config,
  type TextTokenizer,
  tokenIdsJson,
  WAN21_VAE,
  type WanVaeConfig,
  wordTokenizer,
} from '@flow-grpo/showo2-model';
import type { Tensor } from '@tensorflow/tfjs-core';

/** Pixels along a side; the VAE makes 8 × 8 latents of it, and patches of two make 16 image tokens. */
export const IMAGE_SIZE = 64;

/** What `pretrain` writes and the quickstart reads. */
export const FILES = {
  model: 'model.safetensors',
  modelConfig: 'model.json',
  vae: 'vae.safetensors',
  vaeConfig: 'vae.json',
  vocabulary: 'vocabulary.json',
  record: 'pretraining.json',
} as const;

/** Where the repository keeps the pre-trained model. Works from the sources and from the built file. */
export const ASSETS = fileURLToPath(new URL('../assets/', import.meta.url));

/** The words of all prompts of shape scenes. */
export function vocabulary(): string[] {
  return [...shapeScenes({ size: IMAGE_SIZE }).vocabulary];
}

/** A WanVAE a twelfth as wide as the real one, whose latents are not normalised yet. */
export function smallVaeConfig(): WanVaeConfig {
  const { latentChannels } = WAN21_VAE;
  return {
    ...WAN21_VAE,
    dim: 8,
    residualBlocks: 1,
    latentMean: new Array<number>(latentChannels).fill(0),
    latentStd: new Array<number>(latentChannels).fill(1),
  };
}

/** A Show-o2 with every part of the real one. */
export function smallShowo2Config(tokenizer: TextTokenizer): Showo2Config {
  const width = 128;
  return parseShowo2Config(
    {
      hidden_size: width,
      image_latent_dim: WAN21_VAE.latentChannels,
      image_latent_height: IMAGE_SIZE / 16,
      image_latent_width: IMAGE_SIZE / 16,
      clip_latent_dim: width,
      num_diffusion_layers: 2,
      llm_vocab_size: tokenizer.vocabSize,
      position_embedding_grid: [IMAGE_SIZE / 16, IMAGE_SIZE / 16],
      max_text_len: 10,
      llm: {
        hidden_size: width,
        num_hidden_layers: 6,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        intermediate_size: 4 * width,
        rope_theta: 10_000,
      },
      siglip: {
        hidden_size: width,
        num_hidden_layers_used: 1,
        num_attention_heads: 4,
        intermediate_size: 2 * width,
      },
      diffusion_head: {
        hidden_size: width,
        intermediate_size: 4 * width,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: width / 4,
      },
      token_ids: tokenIdsJson(tokenizer.tokens),
    },
    'the quickstart model',
  );
}

export interface SmallModel {
  params: Record<string, Tensor>;
  config: Showo2Config;
  vae: { params: Record<string, Tensor>; config: WanVaeConfig };
  tokenizer: TextTokenizer;
  /** The kinds of scenes it was pre-trained on. */
  kinds: GenevalTag[];
}

/** Loads what `pretrain` wrote. Throws, naming the file, when a part is missing or damaged. */
export async function loadSmallModel(folder = ASSETS): Promise<SmallModel> {
  const json = async (file: string): Promise<unknown> => {
    const path = join(folder, file);
    try {
      return JSON.parse(await readFile(path, 'utf8'));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(
        `${path} cannot be read (${reason}); make the model with: npm run pretrain -w examples/quickstart`,
      );
    }
  };
  const config = parseShowo2Config(await json(FILES.modelConfig), join(folder, FILES.modelConfig));
  const vaeConfig = parseVaeConfig(await json(FILES.vaeConfig), join(folder, FILES.vaeConfig));
  const words = parseWordVocabulary(await json(FILES.vocabulary), join(folder, FILES.vocabulary));
  const record = (await json(FILES.record)) as { kinds: string[] };
  return {
    params: await loadParams(join(folder, FILES.model)),
    config,
    vae: { params: await loadParams(join(folder, FILES.vae)), config: vaeConfig },
    tokenizer: wordTokenizer(words),
    kinds: GENEVAL_TAGS.filter((tag) => record.kinds.includes(tag)),
  };
}
