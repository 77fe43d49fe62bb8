import { gelu, interpolatePositions, linear, type Params, param, patchEmbed } from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { countBlocks, joinHeads, namedNorm, splitHeads } from '../clip/layers';
import type { BlipConfig } from './config';

const ROOT = 'blip.visual_encoder';

/**
 * A position table [1, 1 + n², D] for a grid of `grid` x `grid` patches: the first row stays, the others are
 * resized (PyTorch's bicubic). The table itself where the grid is its own.
 */
export function resizedPositions(table: tf.Tensor, grid: number): tf.Tensor {
  const [, rows, width] = table.shape as [number, number, number];
  const from = Math.round(Math.sqrt(rows - 1));
  if (from * from !== rows - 1)
    throw new Error(`A position table of ${rows} rows is not a class token and a square.`);
  if (from === grid) return table;
  const flat = tf.reshape(table, [rows, width]);
  const patches = interpolatePositions(tf.slice(flat, [1, 0], [rows - 1, width]), [from, from], [grid, grid]);
  return tf.expandDims(tf.concat([tf.slice(flat, [0, 0], [1, width]), patches], 0), 0);
}

/** ImageReward's vision transformer on normalised pixels [B, H, H, 3]: all tokens after the last norm, [B, 1 + n², D]. */
export function blipVision(params: Params, config: BlipConfig['vision'], pixels: tf.Tensor): tf.Tensor {
  const patches = patchEmbed(params, `${ROOT}.patch_embed.proj`, pixels);
  const [batch, count] = patches.shape as [number, number, number];
  const first = tf.tile(param(params, `${ROOT}.cls_token`), [batch, 1, 1]);
  const positions = resizedPositions(param(params, `${ROOT}.pos_embed`), Math.round(Math.sqrt(count)));
  let x: tf.Tensor = tf.add(tf.concat([first, patches], 1), positions);
  const depth = countBlocks(params, `${ROOT}.blocks`);
  for (let i = 0; i < depth; i++) {
    const block = `${ROOT}.blocks.${i}`;
    const normed = namedNorm(params, `${block}.norm1`, x, config.eps);
    const [q, k, v] = tf
      .split(linear(params, `${block}.attn.qkv`, normed), 3, -1)
      .map((part) => splitHeads(part, config.heads)) as [tf.Tensor, tf.Tensor, tf.Tensor];
    const attended = joinHeads(scaledDotProductAttention(q, k, v));
    x = tf.add(x, linear(params, `${block}.attn.proj`, attended));
    const wide = gelu(linear(params, `${block}.mlp.fc1`, namedNorm(params, `${block}.norm2`, x, config.eps)));
    x = tf.add(x, linear(params, `${block}.mlp.fc2`, wide));
  }
  return namedNorm(params, `${ROOT}.norm`, x, config.eps);
}
