import { z } from 'zod';

/** Sizes of the transformer. */
export interface TransformerConfig {
  /** Channels of the latents. */
  readonly inChannels: number;
  /** Side of the square of latent pixels that is one token. */
  readonly patchSize: number;
  readonly dim: number;
  readonly layers: number;
  /** Of each of the two refiners. */
  readonly refinerLayers: number;
  readonly heads: number;
  /** Width of the text encoder's states. */
  readonly captionDim: number;
  readonly ropeTheta: number;
  /** The time embedding sees t times this. */
  readonly timeScale: number;
  readonly normEps: number;
  /** Norms of queries and keys, per head. */
  readonly qkNorm: boolean;
  /** How a head is divided among frame, row and column; the sum is its size. */
  readonly axesDims: readonly [number, number, number];
  /** Positions there are on each axis. */
  readonly axesLens: readonly [number, number, number];
}

/** Image and caption are each padded to a multiple of this many tokens. */
export const TOKEN_MULTIPLE = 32;
/** Sinusoidal features of the time, and the width of the layer behind them. */
export const TIME_FEATURES = 256;
export const TIME_HIDDEN = 1024;
export const QK_NORM_EPS = 1e-5;
export const FINAL_NORM_EPS = 1e-6;

export const headDim = ({ dim, heads }: TransformerConfig): number => dim / heads;
export const feedForwardDim = ({ dim }: TransformerConfig): number => Math.trunc((dim / 3) * 8);
/** Width of the time embedding that modulates the blocks. */
export const timeDim = ({ dim }: TransformerConfig): number => Math.min(dim, 256);
/** The patch sizes as they stand in the parameters' names. */
export const patchName = ({ patchSize }: TransformerConfig): string => `${patchSize}-1`;
/** Numbers in one token of the latents. */
export const patchDim = ({ patchSize, inChannels }: TransformerConfig): number => patchSize ** 2 * inChannels;

/** `count` rounded up to whole groups of tokens. */
export const paddedLength = (count: number): number => Math.ceil(count / TOKEN_MULTIPLE) * TOKEN_MULTIPLE;

/** The transformer of Z-Image and Z-Image-Turbo. */
export const Z_IMAGE_TRANSFORMER: TransformerConfig = {
  inChannels: 16,
  patchSize: 2,
  dim: 3840,
  layers: 30,
  refinerLayers: 2,
  heads: 30,
  captionDim: 2560,
  ropeTheta: 256,
  timeScale: 1000,
  normEps: 1e-5,
  qkNorm: true,
  axesDims: [32, 48, 48],
  axesLens: [1536, 512, 512],
};

const size = z.int().positive();
const three = z.tuple([size, size, size]);
const full = Z_IMAGE_TRANSFORMER;
/** Absent keys are the class's defaults. */
const schema = z.looseObject({
  all_patch_size: z.tuple([size], 'this port has one patch size').default([full.patchSize]),
  all_f_patch_size: z.tuple([z.literal(1)], 'this port has images of one frame').default([1]),
  in_channels: size.default(full.inChannels),
  dim: size.default(full.dim),
  n_layers: size.default(full.layers),
  n_refiner_layers: size.default(full.refinerLayers),
  n_heads: size.default(full.heads),
  norm_eps: z.number().positive().default(full.normEps),
  qk_norm: z.boolean().default(true),
  cap_feat_dim: size.default(full.captionDim),
  siglip_feat_dim: z.null('the omni variant with SigLIP features is not supported').optional(),
  rope_theta: z.number().positive().default(full.ropeTheta),
  t_scale: z.number().default(full.timeScale),
  axes_dims: three.default([...full.axesDims]),
  axes_lens: three.default([1024, 512, 512]),
});

/**
 * Reads transformer/config.json of a repository in diffusers' layout.
 *
 * @throws naming `source` and the field that is missing, wrong or not supported
 */
export function parseTransformerConfig(
  value: unknown,
  source = 'transformer/config.json',
): TransformerConfig {
  const result = schema.safeParse(value);
  if (!result.success) throw new Error(`${source} is not valid: ${z.prettifyError(result.error)}`);
  const json = result.data;
  const config: TransformerConfig = {
    inChannels: json.in_channels,
    patchSize: json.all_patch_size[0],
    dim: json.dim,
    layers: json.n_layers,
    refinerLayers: json.n_refiner_layers,
    heads: json.n_heads,
    captionDim: json.cap_feat_dim,
    ropeTheta: json.rope_theta,
    timeScale: json.t_scale,
    normEps: json.norm_eps,
    qkNorm: json.qk_norm,
    axesDims: json.axes_dims,
    axesLens: json.axes_lens,
  };
  const head = headDim(config);
  const axes = config.axesDims.reduce((sum, each) => sum + each, 0);
  if (axes !== head || config.axesDims.some((each) => each % 2 !== 0)) {
    throw new Error(
      `${source} is not valid: axes_dims ${config.axesDims} must be even and add up to dim / n_heads = ${head}`,
    );
  }
  return config;
}

/** The same as diffusers writes it. */
export const transformerConfigJson = (config: TransformerConfig): Record<string, unknown> => ({
  _class_name: 'ZImageTransformer2DModel',
  all_f_patch_size: [1],
  all_patch_size: [config.patchSize],
  axes_dims: config.axesDims,
  axes_lens: config.axesLens,
  cap_feat_dim: config.captionDim,
  dim: config.dim,
  in_channels: config.inChannels,
  n_heads: config.heads,
  n_kv_heads: config.heads,
  n_layers: config.layers,
  n_refiner_layers: config.refinerLayers,
  norm_eps: config.normEps,
  qk_norm: config.qkNorm,
  rope_theta: config.ropeTheta,
  t_scale: config.timeScale,
});
