import { fromUnitRange, type Params } from '@flow-grpo/nn';
import { jit } from '@flow-grpo/tfjs-jit';
import type * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { type Showo2Condition, type TextState, textEncoder } from '../denoise/condition';
import { encodeContext } from '../denoise/context';
import { showo2Velocity, type VelocityOptions } from '../denoise/velocity';
import { embedSequence, type SequenceInputs } from '../forward';
import { textDecoder } from '../text/generate';
import { understandingPrefix } from '../text/understand';
import { decodeImage, decodeVideo, encodeImage } from '../wan-vae';
import type { Showo2Parts } from './parts';

/** An image's size in patches. */
export type Grid = Pick<Showo2Config, 'gridHeight' | 'gridWidth'>;

/** The grid alone, as programs take it: everything else of a configuration is theirs already. */
export const gridOf = ({ gridHeight, gridWidth }: Grid): Grid => ({ gridHeight, gridWidth });

export type Programs = ReturnType<typeof showo2Programs>;

/**
 * What a model runs, each compiled once for every shape it meets: nothing is traced again from step to step, from token to
 * token or from call to call. Weights are arguments, so that no program holds a copy.
 */
export function showo2Programs({ config, vae }: Pick<Showo2Parts, 'config' | 'vae'>) {
  const sized = (grid: Grid): Showo2Config => ({ ...config, ...grid });
  return {
    encodeText: jit(textEncoder(config), { name: 'showo2-text' }),
    velocity: jit(
      (
        params: Params,
        x: tf.Tensor,
        t: tf.Tensor,
        condition: Showo2Condition,
        options: VelocityOptions,
        grid: Grid,
      ) => showo2Velocity(params, sized(grid), x, t, condition, options).velocity,
      { name: 'showo2-velocity' },
    ),
    /** A sequence with images in it, as embeddings. */
    embed: jit(
      (params: Params, inputs: SequenceInputs, grid: Grid) =>
        embedSequence(params, sized(grid), inputs).embeddings,
      { name: 'showo2-embed' },
    ),
    encodeContext: jit(
      (params: Params, inputs: SequenceInputs, grid: Grid): TextState =>
        encodeContext(params, sized(grid), inputs),
      { name: 'showo2-context' },
    ),
    understand: jit(
      (params: Params, before: tf.Tensor, latents: tf.Tensor, after: tf.Tensor) =>
        understandingPrefix(params, config, before, latents, after),
      { name: 'showo2-understand' },
    ),
    text: textDecoder(config),
    /** Images [B, H, W, 3] in [0, 1] to latents. */
    encodeImages: jit(
      (params: Params, images: tf.Tensor4D) => encodeImage(params, vae.config, fromUnitRange(images)),
      { name: 'vae-encode' },
    ),
    /** Latents to images or clips in -1..1, with overshoot. */
    decode: jit(
      (params: Params, latents: tf.Tensor): tf.Tensor =>
        latents.rank === 5
          ? decodeVideo(params, vae.config, latents as tf.Tensor5D)
          : decodeImage(params, vae.config, latents as tf.Tensor4D),
      { name: 'vae-decode' },
    ),
  };
}
