/** The quickstart's model: Show-o2 and WanVAE as they are, with small numbers, and one word a token. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GENEVAL_TAGS, type GenevalTag, shapeScenes } from '@flow-grpo/datasets';
import {
  parseShowo2Config,
  type Showo2Config,
  type Showo2Parts,
  type TextTokenizer,
  tokenIdsJson,
  WAN21_VAE,
  type WanVaeConfig,
} from '@flow-grpo/showo2-model';
import { loadShowo2 } from '@flow-grpo/showo2-model/node';

/** Pixels along a side; the VAE makes 8 × 8 latents of it, and patches of two make 16 image tokens. */
export const IMAGE_SIZE = 64;

/** Beside the model's own files: what it was made by. */
export const RECORD = 'pretraining.json';

/** Where the repository keeps the pre-trained model, a folder as any Show-o2. Works from the sources and from the built file. */
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

export interface SmallModel extends Showo2Parts {
  /** The kinds of scenes it was pre-trained on. */
  kinds: GenevalTag[];
}

/** Loads what `pretrain` wrote, in float32. Throws, naming the file, when a part is missing or damaged. */
export async function loadSmallModel(folder = ASSETS): Promise<SmallModel> {
  try {
    const record = JSON.parse(await readFile(join(folder, RECORD), 'utf8')) as { kinds: string[] };
    const parts = await loadShowo2(folder, { dtype: 'float32' });
    return { ...parts, kinds: GENEVAL_TAGS.filter((tag) => record.kinds.includes(tag)) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `The model in ${folder} cannot be loaded (${reason}); make it with: npm run pretrain -w examples/quickstart`,
      { cause: error },
    );
  }
}
