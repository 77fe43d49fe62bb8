import {
  castToStorage,
  gelu,
  linear,
  type Params,
  param,
  type RotaryTables,
  rmsNorm,
  rotaryFrequencies,
  rotaryTables,
  silu,
} from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { type HeadConfig, hasHeadProjection, type Showo2Config } from '../config/config';
import { modulate } from './block';

const FINAL = 'diffusion_head_b';

/** Rotary tables of the head at `positions` [T] or [B, T]. */
export function headRotary(config: HeadConfig, positions: tf.Tensor): RotaryTables {
  return rotaryTables(positions, rotaryFrequencies(config.headDim, config.ropeTheta, config.ropeScaling));
}

/** The trunk's output at the head's width: what the head reads, and what head-only training keeps. */
export function headInput(params: Params, config: Showo2Config, hidden: tf.Tensor): tf.Tensor {
  if (!hasHeadProjection(config)) return hidden;
  return linear(params, 'diff_proj.2', gelu(linear(params, 'diff_proj.0', hidden)));
}

/** Shift and scale [N, 2 * hidden] of the final layer for time vectors [N, hidden]. */
export function finalModulation(params: Params, time: tf.Tensor): tf.Tensor {
  return linear(params, `${FINAL}.adaLN_modulation.1`, silu(time));
}

/**
 * The final layer: x [B, T, hidden] to pixels [B, T, patch² · channels], float32 so that guidance loses no digits;
 * `modulation` broadcasts to [B, T, 2 hidden].
 */
export function finalLayer(
  params: Params,
  config: HeadConfig,
  x: tf.Tensor,
  modulation: tf.Tensor,
): tf.Tensor {
  const [shift, scale] = tf.split(modulation, 2, -1) as [tf.Tensor, tf.Tensor];
  const normed = rmsNorm(x, param(params, `${FINAL}.norm_final.weight`), config.finalNormEps);
  return castToStorage(linear(params, `${FINAL}.linear`, modulate(normed, shift, scale)), 'float32');
}

/**
 * Tokens [N, (T) h w, p² C] to latents [N, (T), h p, w p, C]. Token k holds the pixels p²k .. p²k + p² - 1 of its frame
 * in raster order, not the patch at its place: upstream writes and reads them so, and its weights are trained for it.
 */
export function tokensToLatents(config: Showo2Config, tokens: tf.Tensor, shape: number[]): tf.Tensor {
  return tf.reshape(tokens, [tokens.shape[0]!, ...shape.slice(0, -1), config.latentChannels]);
}
