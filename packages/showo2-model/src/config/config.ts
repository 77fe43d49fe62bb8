import type { Llama3Scaling } from '@flow-grpo/nn';

/** The language model (Qwen2.5): rotary attention with grouped key/value heads, q/k/v biases, SwiGLU. */
export interface TrunkConfig {
  hiddenSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  intermediateSize: number;
  ropeTheta: number;
  rmsNormEps: number;
  /** Whether lm_head shares the embedding's table. */
  tieWordEmbeddings: boolean;
}

/** The semantic image path (SigLIP's encoder without its last layer). */
export interface VisionConfig {
  hiddenSize: number;
  /** Layers in use; one fewer than SigLIP is built with. */
  layers: number;
  heads: number;
  intermediateSize: number;
  layerNormEps: number;
}

/** The diffusion head: modulated attention blocks and the final layer. */
export interface HeadConfig {
  hiddenSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  intermediateSize: number;
  rmsNormEps: number;
  qkNormEps: number;
  finalNormEps: number;
  ropeTheta: number;
  ropeScaling?: Llama3Scaling;
}

/** Ids of the tokens that structure a sequence. */
export interface TokenIds {
  /** Opens every sequence. */
  bos: number;
  eos: number;
  /** Begin and end of an image block. */
  boi: number;
  eoi: number;
  /** Begin and end of a video block. */
  bov: number;
  eov: number;
  imagePad: number;
  videoPad: number;
  pad: number;
}

/** Everything the computation depends on besides weights. */
export interface Showo2Config {
  vocabSize: number;
  latentChannels: number;
  /** Grid of patches an image is made of: rows and columns. */
  gridHeight: number;
  gridWidth: number;
  patchSize: number;
  /** Rows and columns of the learned position table; interpolated unless it has as many rows as the grid. */
  positionGrid: number;
  addTimeEmbeds: boolean;
  /** Width of the sinusoidal time features. */
  timeFeatures: number;
  trunk: TrunkConfig;
  vision: VisionConfig;
  head: HeadConfig;
  tokens: TokenIds;
  /** Most text tokens of a prompt, without the tokens around it; longer prompts are cut. */
  maxTextLength: number;
}

/** Tokens of one image block: patches, and the time token before them. */
export function imageBlockLength(config: Showo2Config, height = config.gridHeight, width = config.gridWidth) {
  return height * width + (config.addTimeEmbeds ? 1 : 0);
}

/**
 * Text tokens that fit beside one image (upstream `get_hyper_params`): the sequence without the image's tokens, the time
 * token where there is one, and [bos] [boi] [eoi] [eos].
 */
export const textLimit = (maxSeqLength: number, imageTokens: number, addTimeEmbeds: boolean): number =>
  maxSeqLength - imageTokens - (addTimeEmbeds ? 1 : 0) - 4;

/**
 * `max_seq_length` where no YAML says it: room for 256 tokens beside the image, rounded up to a multiple of 256. That is
 * what upstream's configurations have: 1024 for 27 × 27 image tokens, 1280 for 32 × 32, 4352 for 64 × 64.
 */
export const defaultSequenceLength = (imageTokens: number): number =>
  Math.ceil((imageTokens + 256) / 256) * 256;

/** Shape [height, width, channels] of the latents of one image at the configured size. */
export function showo2LatentShape(config: Showo2Config): [number, number, number] {
  return [config.gridHeight * config.patchSize, config.gridWidth * config.patchSize, config.latentChannels];
}

/** Whether the head's width differs from the trunk's, so that diff_proj and time_embed_proj exist. */
export function hasHeadProjection(config: Showo2Config): boolean {
  return config.head.hiddenSize !== config.trunk.hiddenSize;
}
