/** The single-stream transformer: captions refined once per prompt, and the velocity of latents beside them. */
import {
  imagesOfPatchRows,
  type LayerBody,
  type Observe,
  type Params,
  patchRows,
  type RotaryTables,
  runLayers,
} from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { blockModulation, transformerBlock } from './block';
import { paddedLength, type TransformerConfig } from './config';
import { embedCaptions, embedPatches, finalLayer, timeEmbedding } from './embed';
import { captionRotary, type Grid, imageMask, imageRotary } from './positions';
import { BLOCKS } from './specs';

/** What the text encoder says of prompts: every tensor's first axis is the prompt. */
export type TextStates = {
  /** [B, L, width of the text encoder]; rows from a prompt's length on carry no meaning. */
  readonly states: tf.Tensor;
  /** int32 [B]: real rows. */
  readonly lengths: tf.Tensor;
};

/** Captions after the context refiner. They depend on neither latents nor time, so they serve every denoising step. */
export type Captions = {
  /** [B, T, dim], T a multiple of 32. */
  readonly tokens: tf.Tensor;
  /** int32 [B]: rows that take part, each prompt's own padding included; the others only fill up the batch. */
  readonly lengths: tf.Tensor;
};

interface Blocks {
  readonly base: string;
  readonly count: number;
  /** Rows from an item's length on are not attended to. Without it all are. */
  readonly lengths: tf.Tensor | undefined;
  readonly rotary: RotaryTables;
  readonly time?: tf.Tensor;
}

function runBlocks(
  params: Params,
  config: TransformerConfig,
  x: tf.Tensor,
  { base, count, lengths, rotary, time }: Blocks,
  observe?: Observe,
): tf.Tensor {
  const attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) =>
    scaledDotProductAttention(q, k, v, lengths && { kvLengths: lengths });
  const body: LayerBody = (p, prefix, y, _given, number) => {
    const told = number === undefined ? undefined : observe; // under a scan one block stands for all
    const modulation = time && blockModulation(p, prefix, time, told);
    const next = transformerBlock(p, prefix, config, y, rotary, attend, modulation, told);
    told?.(prefix.replace(/\.$/, ''), next);
    return [next];
  };
  return runLayers(params, base, count, x, body).x;
}

/** Embeds and refines captions. Differentiable, and works inside jit. */
export function refineCaptions(
  params: Params,
  config: TransformerConfig,
  { states, lengths }: TextStates,
  observe?: Observe,
): Captions {
  const embedded = embedCaptions(params, config, states, lengths, observe);
  observe?.('cap_tokens', embedded.tokens);
  const rotary = captionRotary(config, embedded.tokens.shape[1]!);
  observeRotary('cap', rotary, observe);
  const blocks = {
    base: BLOCKS.contextRefiner,
    count: config.refinerLayers,
    lengths: embedded.lengths,
    rotary,
  };
  return { tokens: runBlocks(params, config, embedded.tokens, blocks, observe), lengths: embedded.lengths };
}

/**
 * The velocity dx/dt at latents x [B, h, w, C] and times t [B] (0 noise, 1 data), float32, the shape of x. Row i is
 * drawn after caption i.
 *
 * @throws when the size is no whole number of patches, or larger than the model's tables
 */
export function zImageVelocity(
  params: Params,
  config: TransformerConfig,
  x: tf.Tensor4D,
  t: tf.Tensor,
  captions: Captions,
  observe?: Observe,
): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const grid = gridOf(config, x.shape.slice(1));
  const count = grid[0] * grid[1];
  const length = paddedLength(count);
  const patches = padRows(tf.reshape(patchRows(x, config.patchSize), [batch, count, -1]), length);
  const out = denoise(params, config, patches, [grid], t, captions, observe);
  const rows = tf.slice(out, [0, 0, 0], [-1, count, -1]);
  return imagesOfPatchRows(rows, config.patchSize, [batch, height, width, channels]);
}

/**
 * The same for images of several sizes, [h, w, C] each, in one batch. The numbers are those of every image alone.
 */
export function zImageVelocityOfSizes(
  params: Params,
  config: TransformerConfig,
  images: readonly tf.Tensor3D[],
  t: tf.Tensor,
  captions: Captions,
  observe?: Observe,
): tf.Tensor3D[] {
  const grids = images.map((image) => gridOf(config, image.shape));
  const length = Math.max(...grids.map(([rows, columns]) => paddedLength(rows * columns)));
  const each = images.map((image) =>
    padRows(tf.expandDims(patchRows(tf.expandDims(image, 0), config.patchSize), 0), length),
  );
  const out = denoise(params, config, tf.concat(each, 0), grids, t, captions, observe);
  return images.map((image, i) => {
    const [height, width, channels] = image.shape;
    const rows = tf.slice(out, [i, 0, 0], [1, grids[i]![0] * grids[i]![1], -1]);
    return tf.squeeze(
      imagesOfPatchRows(rows, config.patchSize, [1, height, width, channels]),
      [0],
    ) as tf.Tensor3D;
  });
}

/** Patches [B, X, p² C] beside captions, through all blocks; `grids` are those of every item, or one for all. */
function denoise(
  params: Params,
  config: TransformerConfig,
  patches: tf.Tensor,
  grids: readonly Grid[],
  t: tf.Tensor,
  captions: Captions,
  observe?: Observe,
): tf.Tensor {
  const [batch, length] = patches.shape as [number, number, number];
  const own = grids.map(([rows, columns]) => paddedLength(rows * columns));
  const oneSize = own.every((each) => each === length);
  const imageLengths = oneSize ? undefined : tf.tensor1d(own, 'int32');
  const time = timeEmbedding(params, config, t, observe);
  const mask = tf.stack(grids.map((grid) => imageMask(grid, length)));
  const tokens = embedPatches(params, config, patches, mask, observe);
  observe?.('x_tokens', tokens);
  const rotary = imageRotary(config, grids, length, captions.lengths);
  observeRotary('x', rotary, observe);
  const refiner = {
    base: BLOCKS.noiseRefiner,
    count: config.refinerLayers,
    lengths: imageLengths,
    rotary,
    time,
  };
  const refined = runBlocks(params, config, tokens, refiner, observe);

  const text = captionRotary(config, captions.tokens.shape[1]!);
  const unify = (image: tf.Tensor, caption: tf.Tensor) => {
    const wide =
      caption.shape[0] === batch
        ? caption
        : tf.tile(caption, [batch, ...caption.shape.slice(1).map(() => 1)]);
    const joined = tf.concat([image, wide], 1);
    return oneSize ? joined : captionsAfterImages(joined, own, length);
  };
  const unified = unify(refined, captions.tokens);
  observe?.('unified_tokens', unified);
  const turned = { cos: unify(rotary.cos, text.cos), sin: unify(rotary.sin, text.sin) };
  observeRotary('unified', turned, observe);
  const lengths = tf.add(captions.lengths, imageLengths ?? tf.scalar(length, 'int32'));
  observe?.('unified_lengths', lengths);
  const layers = { base: BLOCKS.layers, count: config.layers, lengths, rotary: turned, time };
  return finalLayer(params, config, runBlocks(params, config, unified, layers, observe), time, observe);
}

/** Moves what fills up an image, in [image of `length` rows, caption], behind its caption. */
function captionsAfterImages(joined: tf.Tensor, own: readonly number[], length: number): tf.Tensor {
  const [batch, total, ...inner] = joined.shape as [number, number, ...number[]];
  const index = own.flatMap((image, i) =>
    Array.from({ length: total }, (_, j) => {
      const behind = j < image ? j : j + length - image;
      return i * total + (behind < total ? behind : image + behind - total);
    }),
  );
  const rows = tf.gather(tf.reshape(joined, [batch * total, -1]), tf.tensor1d(index, 'int32'));
  return tf.reshape(rows, [batch, total, ...inner]);
}

function gridOf({ patchSize, inChannels }: TransformerConfig, shape: readonly number[]): Grid {
  const [height, width, channels] = shape as [number, number, number];
  if (channels !== inChannels || height % patchSize !== 0 || width % patchSize !== 0) {
    throw new Error(
      `Latents must be [h, w, ${inChannels}] with h and w multiples of ${patchSize}, got [${shape}].`,
    );
  }
  return [height / patchSize, width / patchSize];
}

/** Zeros behind the rows of x [B, T, …], up to `length`. */
const padRows = (x: tf.Tensor, length: number): tf.Tensor =>
  tf.pad(x, [
    [0, 0],
    [0, length - x.shape[1]!],
    [0, 0],
  ]);

function observeRotary(name: string, { cos, sin }: RotaryTables, observe: Observe | undefined): void {
  observe?.(`${name}_rope_cos`, tf.squeeze(cos, [2]));
  observe?.(`${name}_rope_sin`, tf.squeeze(sin, [2]));
}
