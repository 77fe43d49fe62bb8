/** What is measured: the sizes of the work, the same for all engines. */
import {
  parseShowo2Config,
  type Showo2Config,
  tokenIdsJson,
  WAN21_VAE,
  type WanVaeConfig,
  wordTokenizer,
} from '@flow-grpo/showo2-model';
import type { FloatStorage } from '@flow-grpo/tfjs-jit';
import {
  type AutoencoderConfig,
  QWEN3_4B,
  type TextEncoderConfig,
  type TransformerConfig,
  Z_IMAGE_AUTOENCODER,
  Z_IMAGE_TRANSFORMER,
} from '@flow-grpo/z-image-model';

export interface ClipSizes {
  readonly vision: TowerSizes & { readonly imageSize: number; readonly patchSize: number };
  readonly text: TowerSizes & { readonly vocabulary: number; readonly positions: number };
  readonly projection: number;
}

interface TowerSizes {
  readonly width: number;
  readonly intermediate: number;
  readonly layers: number;
  readonly heads: number;
}

export interface ZImageSizes {
  readonly transformer: TransformerConfig;
  readonly textEncoder: TextEncoderConfig;
  readonly vae: AutoencoderConfig;
  /** Of images that are drawn, and of those that adapters are trained on. */
  readonly sizes: readonly (readonly [height: number, width: number])[];
  readonly trainingSize: readonly [height: number, width: number];
  readonly steps: number;
  /** Images of a prompt in training. */
  readonly group: number;
  readonly rounds: number;
}

export interface LearningSizes {
  readonly seeds: readonly number[];
  /** Training images of a run, and of the algorithms in `long`. */
  readonly images: number;
  readonly longImages: number;
  readonly long: readonly string[];
  /** Algorithms that run; all by default. */
  readonly names?: readonly string[];
  /** Training images between evaluations, and images of an evaluation. */
  readonly curve: number;
  readonly prompts: number;
}

export interface Workload {
  readonly showo2: Showo2Config;
  /** The model whose parameters are split over two devices. */
  readonly large: Showo2Config;
  /** The model whose numbers in bfloat16 are compared with float32's: all its layers, on images and prompts that a CPU can do. */
  readonly rounding: Showo2Config;
  readonly vae: WanVaeConfig;
  readonly clip: ClipSizes;
  readonly zImage: ZImageSizes;
  readonly learning: LearningSizes;
  /** How weights and activations are held. */
  readonly storage: FloatStorage;
  /** Images a rollout call; guidance doubles the rows. */
  readonly batch: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly noiseLevel: number;
  /** Batches of an epoch: one prompt's images come in this many rollout calls. */
  readonly batchesPerEpoch: number;
  /** Images a gradient pass of the epoch, with all their trained steps. */
  readonly rowsPerPass: number;
  /** What a slow scorer takes for each batch. */
  readonly scorerSeconds: number;
  /** Seconds after a run has begun something that a signal comes. */
  readonly signalSeconds: Readonly<Record<'compiling' | 'firstUpdate' | 'secondUpdate', number>>;
  /** Rows and columns of the square matrix product. */
  readonly matmul: number;
  readonly attention: {
    readonly batch: number;
    readonly length: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly size: number;
  };
  /** Numbers that each device gives to a sum over devices. */
  readonly allReduce: number;
  /** Tensors handed to one jitted call. */
  readonly parameters: number;
  /** Rounds of the long cases. */
  readonly rounds: number;
}

/** At 432 × 432 pixels; prompts are padded to 128 tokens, [bos] and [boi] included, where the model could read 290. */
const PUBLISHED = { image_latent_height: 27, image_latent_width: 27, max_text_len: 128 };

/** Special tokens of a small vocabulary. */
const SMALL_IDS = tokenIdsJson(wordTokenizer({ words: [] }).tokens);

/** Show-o2 1.5B at 432 × 432 pixels, as the pickscore recipe trains it. */
export const FULL: Workload = {
  showo2: parseShowo2Config({ ...PUBLISHED, hidden_size: 1536 }),
  large: parseShowo2Config({ ...PUBLISHED, hidden_size: 3584 }),
  rounding: parseShowo2Config({
    hidden_size: 1536,
    image_latent_height: 5,
    image_latent_width: 5,
    position_embedding_grid: [5, 5],
    llm_vocab_size: 160,
    max_text_len: 10,
    token_ids: SMALL_IDS,
  }),
  vae: WAN21_VAE,
  clip: {
    vision: { width: 1280, intermediate: 5120, layers: 32, heads: 16, imageSize: 224, patchSize: 14 },
    text: { width: 1024, intermediate: 4096, layers: 24, heads: 16, vocabulary: 49408, positions: 77 },
    projection: 1024,
  },
  learning: {
    seeds: [0, 1, 2],
    images: 25_600,
    longImages: 153_600,
    // sft and rwr fail long before.
    long: ['nft', 'crd', 'awm', 'grpo', 'guard', 'flow-dppo', 'dgpo', 'dpo'],
    curve: 12_800,
    prompts: 960,
  },
  zImage: {
    transformer: Z_IMAGE_TRANSFORMER,
    textEncoder: QWEN3_4B,
    vae: Z_IMAGE_AUTOENCODER,
    sizes: [
      [1024, 1024],
      [512, 512],
    ],
    trainingSize: [512, 512],
    steps: 8,
    group: 4,
    rounds: 5,
  },
  storage: 'bfloat16',
  batch: 8,
  steps: 12,
  guidanceScale: 5,
  noiseLevel: 0.7,
  batchesPerEpoch: 2,
  rowsPerPass: 4,
  scorerSeconds: 2,
  signalSeconds: { compiling: 4, firstUpdate: 3, secondUpdate: 1 },
  matmul: 8192,
  attention: { batch: 16, length: 768, heads: 12, kvHeads: 2, size: 128 },
  allReduce: 2 ** 28,
  parameters: 1000,
  rounds: 10,
};

const TINY_SHOWO2 = parseShowo2Config({
  hidden_size: 64,
  image_latent_height: 3,
  image_latent_width: 3,
  clip_latent_dim: 48,
  num_diffusion_layers: 3,
  llm_vocab_size: 160,
  position_embedding_grid: [3, 3],
  max_text_len: 12,
  llm: {
    hidden_size: 64,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 128,
  },
  siglip: { hidden_size: 48, num_hidden_layers_used: 2, num_attention_heads: 4, intermediate_size: 96 },
  diffusion_head: {
    hidden_size: 128,
    head_dim: 16,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    intermediate_size: 256,
  },
  token_ids: SMALL_IDS,
});

/** The same work at a size that any CPU does in seconds, to try the scripts. */
export const TINY: Workload = {
  ...FULL,
  showo2: TINY_SHOWO2,
  large: TINY_SHOWO2,
  rounding: TINY_SHOWO2,
  vae: { ...WAN21_VAE, dim: 8 },
  clip: {
    vision: { width: 32, intermediate: 64, layers: 2, heads: 2, imageSize: 28, patchSize: 14 },
    text: { width: 32, intermediate: 64, layers: 2, heads: 2, vocabulary: 64, positions: 16 },
    projection: 16,
  },
  learning: {
    seeds: [0],
    images: 256,
    longImages: 512,
    long: ['nft'],
    names: ['nft', 'dpo'],
    curve: 256,
    prompts: 24,
  },
  zImage: {
    transformer: {
      ...Z_IMAGE_TRANSFORMER,
      dim: 32,
      heads: 2,
      layers: 2,
      refinerLayers: 1,
      captionDim: 24,
      axesDims: [4, 6, 6],
    },
    textEncoder: {
      ...QWEN3_4B,
      hiddenSize: 24,
      intermediateSize: 32,
      layers: 3,
      heads: 2,
      kvHeads: 1,
      headDim: 12,
      vocabSize: 512,
    },
    vae: { ...Z_IMAGE_AUTOENCODER, channels: [8, 8, 8, 8], layersPerBlock: 1, groups: 4 },
    sizes: [
      [64, 64],
      [32, 32],
    ],
    trainingSize: [32, 32],
    steps: 3,
    group: 2,
    rounds: 2,
  },
  batch: 2,
  steps: 4,
  rowsPerPass: 2,
  scorerSeconds: 0.2,
  signalSeconds: { compiling: 0.1, firstUpdate: 0, secondUpdate: 0 },
  matmul: 128,
  attention: { batch: 2, length: 16, heads: 4, kvHeads: 2, size: 16 },
  allReduce: 2 ** 10,
  parameters: 50,
  rounds: 2,
};

/** Text tokens that prompts are padded to, without [bos] and [boi], so that both together are `maxTextLength`. */
export const paddedText = ({ showo2 }: Workload): number => showo2.maxTextLength - 2;

/** Floating-point operations of a matrix product [n, n] × [n, n]. */
export const matmulFlops = (n: number): number => 2 * n ** 3;

/** Floating-point operations of attention without mask, forward: two products a head. */
export const attentionFlops = ({ batch, length, heads, size }: Workload['attention']): number =>
  4 * batch * heads * length * length * size;
