/** AutoencoderKL: images to latents and back, in diffusers' names and numbers. */
import {
  conv2d,
  downsample2d,
  groupNorm,
  linear,
  decodeInTiles,
  encodeInTiles,
  type Observe,
  type Params,
  silu,
  type TilingOptions,
  upsample2d,
} from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { type AutoencoderConfig, spatialFactor } from './config';
import { type CoderPlan, decoderPlan, encoderPlan, type Stage } from './plan';

const NORM_EPS = 1e-6;

/** What the encoder says of images: a Gaussian over latents before scaling, diagonal. */
export type Posterior = {
  /** [B, h, w, C], not scaled. */
  readonly mean: tf.Tensor4D;
  /** [B, h, w, C], clamped to [−30, 20]. */
  readonly logVariance: tf.Tensor4D;
};

/**
 * Images [B, H, W, 3] in [−1, 1] to the posterior over latents [B, H/8, W/8, C].
 *
 * @throws when height or width is no multiple of the spatial factor
 */
export function encodePosterior(
  params: Params,
  config: AutoencoderConfig,
  images: tf.Tensor4D,
  observe?: Observe,
): Posterior {
  const factor = spatialFactor(config);
  const [, height, width, channels] = images.shape;
  if (channels !== 3 || height % factor !== 0 || width % factor !== 0) {
    throw new Error(
      `The autoencoder takes [B, H, W, 3] with H and W multiples of ${factor}, got [${images.shape}].`,
    );
  }
  const coded = runCoder(params, config, encoderPlan(config), images, observe);
  const moments = config.quantConv ? conv2d(params, 'quant_conv', coded) : coded;
  const [mean, logVariance] = tf.split(moments, 2, 3) as [tf.Tensor4D, tf.Tensor4D];
  return { mean, logVariance: tf.clipByValue(logVariance, -30, 20) };
}

/** Images [B, H, W, 3] in [−1, 1] to the latents the transformer works on, [B, h, w, C]: the scaled mean. */
export function encodeImages(params: Params, config: AutoencoderConfig, images: tf.Tensor4D): tf.Tensor4D {
  return scaleLatents(config, encodePosterior(params, config, images).mean);
}

/** Latents as the transformer sees them, [B, h, w, C], to images [B, H, W, 3], in [−1, 1] except for overshoot. */
export function decodeLatents(
  params: Params,
  config: AutoencoderConfig,
  latents: tf.Tensor4D,
  observe?: Observe,
): tf.Tensor4D {
  const z = unscaleLatents(config, latents);
  const input = config.postQuantConv ? conv2d(params, 'post_quant_conv', z) : z;
  return runCoder(params, config, decoderPlan(config), input, observe);
}

/**
 * {@link decodeLatents} in overlapping tiles that are blended, so that only one tile needs memory beside the image. Attention
 * and norms see one tile at a time, so numbers differ slightly from decoding the whole image; an image that fits one tile is
 * decoded whole.
 */
export function decodeLatentsTiled(
  params: Params,
  config: AutoencoderConfig,
  latents: tf.Tensor4D,
  options: TilingOptions & {
    /** What decodes a tile, such as a compiled `decodeLatents`: tiles all have one shape. */
    decodeTile?: (part: tf.Tensor4D) => tf.Tensor4D;
  } = {},
): tf.Tensor4D {
  const { decodeTile = (part) => decodeLatents(params, config, part) } = options;
  return decodeInTiles(latents, spatialFactor(config), options, decodeTile);
}

/** {@link encodeImages} in overlapping tiles. */
export function encodeImagesTiled(
  params: Params,
  config: AutoencoderConfig,
  images: tf.Tensor4D,
  options: TilingOptions = {},
): tf.Tensor4D {
  return encodeInTiles(images, spatialFactor(config), options, (part) => encodeImages(params, config, part));
}

/** (mean − shift) · scaling. */
export const scaleLatents = <T extends tf.Tensor>({ scaling, shift }: AutoencoderConfig, mean: T): T =>
  tf.mul(tf.sub(mean, shift), scaling) as T;

/** The inverse of `scaleLatents`: what the decoder takes. */
export const unscaleLatents = <T extends tf.Tensor>({ scaling, shift }: AutoencoderConfig, latents: T): T =>
  tf.add(tf.div(latents, scaling), shift) as T;

function runCoder(
  params: Params,
  { groups }: AutoencoderConfig,
  plan: CoderPlan,
  x: tf.Tensor4D,
  observe?: Observe,
): tf.Tensor4D {
  const seen = (name: string, value: tf.Tensor4D) => {
    observe?.(name, value);
    return value;
  };
  const first = `${plan.name}.conv_in`;
  let h = seen(first, conv2d(params, first, x));
  for (const stage of plan.stages) h = seen(stage.name, runStage(params, groups, stage, h, observe));
  const norm = `${plan.name}.conv_norm_out`;
  const normed = seen(norm, groupNorm(params, norm, h, groups, NORM_EPS));
  return conv2d(params, `${plan.name}.conv_out`, silu(normed));
}

function runStage(
  params: Params,
  groups: number,
  stage: Stage,
  x: tf.Tensor4D,
  observe: Observe | undefined,
): tf.Tensor4D {
  switch (stage.kind) {
    case 'residual':
      return residual(params, stage.name, x, groups);
    case 'attention':
      return attention(params, stage.name, x, groups, observe);
    case 'downsample':
      return downsample2d(params, `${stage.name}.conv`, x);
    case 'upsample':
      return conv2d(params, `${stage.name}.conv`, upsample2d(x));
    case 'block':
      return x;
  }
}

/** Norm, SiLU, convolution, twice, beside a shortcut that is 1 × 1 where the width changes. */
function residual(params: Params, name: string, x: tf.Tensor4D, groups: number): tf.Tensor4D {
  const half = (i: 1 | 2, h: tf.Tensor4D) =>
    conv2d(params, `${name}.conv${i}`, silu(groupNorm(params, `${name}.norm${i}`, h, groups, NORM_EPS)));
  const shortcut = `${name}.conv_shortcut`;
  const kept = `${shortcut}.weight` in params ? conv2d(params, shortcut, x) : x;
  return tf.add(kept, half(2, half(1, x)));
}

/** Single-head attention over all pixels, added to them. */
function attention(
  params: Params,
  name: string,
  x: tf.Tensor4D,
  groups: number,
  observe: Observe | undefined,
): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const normed = groupNorm(params, `${name}.group_norm`, x, groups, NORM_EPS);
  observe?.(`${name}.group_norm`, normed);
  const pixels = tf.reshape(normed, [batch, height * width, channels]);
  const project = (part: string) =>
    tf.reshape(linear(params, `${name}.${part}`, pixels), [batch, height * width, 1, channels]);
  const attended = scaledDotProductAttention(project('to_q'), project('to_k'), project('to_v'));
  const joined = tf.reshape(attended, [batch, height * width, channels]);
  return tf.add(x, tf.reshape(linear(params, `${name}.to_out.0`, joined), x.shape));
}
