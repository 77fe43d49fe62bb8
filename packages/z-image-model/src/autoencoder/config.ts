import { z } from 'zod';

/** Sizes of an AutoencoderKL, and the place of its latents. */
export interface AutoencoderConfig {
  /** Channels of each level, from fine to coarse. */
  readonly channels: readonly number[];
  /** Residual blocks of an encoder level; the decoder has one more. */
  readonly layersPerBlock: number;
  readonly groups: number;
  readonly latentChannels: number;
  /** Latents are (mean − shift) · scaling. */
  readonly scaling: number;
  readonly shift: number;
  /** Whether the middle has attention. */
  readonly middleAttention: boolean;
  /** 1 × 1 convolutions behind the encoder and before the decoder. */
  readonly quantConv: boolean;
  readonly postQuantConv: boolean;
}

/** The autoencoder of Z-Image (that of Flux). */
export const Z_IMAGE_AUTOENCODER: AutoencoderConfig = {
  channels: [128, 256, 512, 512],
  layersPerBlock: 2,
  groups: 32,
  latentChannels: 16,
  scaling: 0.3611,
  shift: 0.1159,
  middleAttention: true,
  quantConv: false,
  postQuantConv: false,
};

/** How much smaller than images latents are. */
export const spatialFactor = ({ channels }: AutoencoderConfig): number => 2 ** (channels.length - 1);

const size = z.int().positive();
const blocks = (type: string) => z.array(z.literal(type, `only ${type} is supported`)).optional();
const schema = z.looseObject({
  block_out_channels: z.array(size).min(1),
  layers_per_block: size.default(1),
  norm_num_groups: size.default(32),
  latent_channels: size,
  in_channels: z.literal(3).default(3),
  out_channels: z.literal(3).default(3),
  scaling_factor: z.number().default(0.18215),
  shift_factor: z.number().nullish(),
  use_quant_conv: z.boolean().default(true),
  use_post_quant_conv: z.boolean().default(true),
  mid_block_add_attention: z.boolean().default(true),
  act_fn: z.literal('silu', 'only silu is supported').default('silu'),
  down_block_types: blocks('DownEncoderBlock2D'),
  up_block_types: blocks('UpDecoderBlock2D'),
});

/**
 * Reads vae/config.json of a repository in diffusers' layout.
 *
 * @throws naming `source` and the field that is missing, wrong or not supported
 */
export function parseAutoencoderConfig(value: unknown, source = 'vae/config.json'): AutoencoderConfig {
  const result = schema.safeParse(value);
  if (!result.success) throw new Error(`${source} is not valid: ${z.prettifyError(result.error)}`);
  const json = result.data;
  return {
    channels: json.block_out_channels,
    layersPerBlock: json.layers_per_block,
    groups: json.norm_num_groups,
    latentChannels: json.latent_channels,
    scaling: json.scaling_factor,
    shift: json.shift_factor ?? 0,
    middleAttention: json.mid_block_add_attention,
    quantConv: json.use_quant_conv,
    postQuantConv: json.use_post_quant_conv,
  };
}

/** The same as diffusers writes it. */
export const autoencoderConfigJson = (config: AutoencoderConfig): Record<string, unknown> => ({
  _class_name: 'AutoencoderKL',
  act_fn: 'silu',
  block_out_channels: config.channels,
  down_block_types: config.channels.map(() => 'DownEncoderBlock2D'),
  in_channels: 3,
  latent_channels: config.latentChannels,
  layers_per_block: config.layersPerBlock,
  mid_block_add_attention: config.middleAttention,
  norm_num_groups: config.groups,
  out_channels: 3,
  scaling_factor: config.scaling,
  shift_factor: config.shift,
  up_block_types: config.channels.map(() => 'UpDecoderBlock2D'),
  use_post_quant_conv: config.postQuantConv,
  use_quant_conv: config.quantConv,
});
