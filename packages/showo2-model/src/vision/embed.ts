import {
  castLike,
  gelu,
  interpolatePositions,
  linear,
  type Observe,
  type Params,
  param,
  patchEmbed,
  rmsNorm,
  runLayers,
} from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { SHOWO2_LAYER_BASES } from '../layers';
import { visionLayer } from './encoder';

const FUSION_NORM_EPS = 1e-6;

/**
 * What is added to the semantic path's patches, [1, height * width, width of the path]. The table is looked up when it
 * has as many rows as the configured grid, whatever the latents' real size (as upstream), and interpolated otherwise.
 */
export function positionEmbedding(
  params: Params,
  config: Showo2Config,
  height: number,
  width: number,
): tf.Tensor {
  const table = param(params, 'position_embedding.weight');
  const rows = table.shape[0]!;
  if (rows === config.gridHeight * config.gridWidth) {
    if (rows !== height * width) {
      throw new Error(
        `Latents of ${height} x ${width} patches do not fit the position table of ${rows} rows, which is not ` +
          `interpolated at the configured grid ${config.gridHeight} x ${config.gridWidth}. Configure the grid in use.`,
      );
    }
    return tf.expandDims(table, 0);
  }
  const side = Math.floor(Math.sqrt(rows));
  return tf.expandDims(interpolatePositions(table, [side, side], [height, width]), 0);
}

/**
 * Latents [N, H, W, C] or clips [N, T, H, W, C] to fused image embeddings [N, (T) h w, hidden], h = H / patch: the
 * semantic path (SigLIP's encoder) and the projector side by side, then the fusion. Frames of a clip go through the
 * semantic path one by one.
 */
export function imageEmbeddings(
  params: Params,
  config: Showo2Config,
  latents: tf.Tensor,
  observe?: Observe,
): tf.Tensor {
  const frames = latents.rank === 5 ? latents.shape[1]! : 1;
  const [height, width, channels] = latents.shape.slice(-3) as [number, number, number];
  const rows = height / config.patchSize;
  const columns = width / config.patchSize;
  const count = latents.shape[0]!;
  const images = tf.reshape(latents, [count * frames, height, width, channels]);
  const patches = patchEmbed(params, 'image_embedder_und.proj', images);
  observe?.('image_embedder_und', patches);
  const positions = positionEmbedding(params, config, rows, columns);
  observe?.('position_embedding_used', positions);
  const { x: semantic } = runLayers(
    params,
    SHOWO2_LAYER_BASES.vision,
    config.vision.layers,
    tf.add(patches, castLike(positions, patches)),
    (p, prefix, x, _given, number) => {
      const next = visionLayer(p, prefix, config.vision, x);
      if (number !== undefined) observe?.(`und_trans_layer_${number}`, next);
      return [next];
    },
  );
  const projected = patchEmbed(params, 'image_embedder_gen.proj', images);
  observe?.('image_embedder_gen', projected);
  const both = tf.concat([semantic, projected], -1);
  const normed = rmsNorm(both, param(params, 'fusion_proj.0.weight'), FUSION_NORM_EPS);
  const fused = linear(params, 'fusion_proj.3', gelu(linear(params, 'fusion_proj.1', normed)));
  const joined = tf.reshape(fused, [count, frames * rows * columns, config.trunk.hiddenSize]);
  observe?.('fusion_proj', joined);
  return joined;
}
