import { fromUnitRange, type Params, repeatRows } from '@flow-grpo/nn';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { decodeLatents, encodeImages } from '../autoencoder';
import { type Guidance, guide } from '../guidance';
import { type Captions, refineCaptions, type TextStates, zImageVelocity } from '../transformer';
import type { ZImageParts } from './parts';
import { promptEncoder } from './prompt-encoder';

export type Programs = ReturnType<typeof zImagePrograms>;

/** The captions of both branches as one batch; the unconditional one may be a single row for all. */
export function joinCaptions(conditional: Captions, unconditional: Captions): Captions {
  const rows = conditional.lengths.shape[0]!;
  const width = Math.max(conditional.tokens.shape[1]!, unconditional.tokens.shape[1]!);
  const fit = (x: tf.Tensor) =>
    tf.pad(repeatRows(x, rows), [
      [0, 0],
      [0, width - x.shape[1]!],
      [0, 0],
    ]);
  return {
    tokens: tf.concat([fit(conditional.tokens), fit(unconditional.tokens)], 0),
    lengths: tf.concat([conditional.lengths, repeatRows(unconditional.lengths, rows)], 0),
  };
}

/** Both branches of guidance at x [B, h, w, C] and t [B] in one evaluation of 2 B rows. */
export function branches(
  params: Params,
  config: ZImageParts['transformer']['config'],
  x: tf.Tensor4D,
  t: tf.Tensor,
  conditional: Captions,
  unconditional: Captions,
): [conditional: tf.Tensor4D, unconditional: tf.Tensor4D] {
  const captions = joinCaptions(conditional, unconditional);
  const both = zImageVelocity(params, config, tf.concat([x, x], 0), tf.concat([t, t], 0), captions);
  return tf.split(both, 2) as [tf.Tensor4D, tf.Tensor4D];
}

/**
 * What a model runs, each compiled once for every shape it meets. Weights are arguments, so that no program holds a copy.
 */
export function zImagePrograms({ transformer, textEncoder, vae }: ZImageParts) {
  const { config } = transformer;
  return {
    encodePrompts: textEncoder && promptEncoder(textEncoder),
    refineCaptions: jit(
      (params: Params, states: TextStates): Captions => refineCaptions(params, config, states),
      { name: 'z-image-captions' },
    ),
    velocity: jit(
      (params: Params, x: tf.Tensor4D, t: tf.Tensor, captions: Captions) =>
        zImageVelocity(params, config, x, t, captions),
      { name: 'z-image-velocity' },
    ),
    guidedVelocity: jit(
      (
        params: Params,
        x: tf.Tensor4D,
        t: tf.Tensor,
        conditional: Captions,
        unconditional: Captions,
        guidance: Guidance,
      ) => guide(...branches(params, config, x, t, conditional, unconditional), guidance),
      { name: 'z-image-guided-velocity' },
    ),
    /** Images [B, H, W, 3] in [0, 1] to latents. */
    encodeImages: jit(
      (params: Params, images: tf.Tensor4D) => encodeImages(params, vae.config, fromUnitRange(images)),
      { name: 'vae-encode' },
    ),
    /** Latents to images in −1..1, with overshoot. */
    decode: jit((params: Params, latents: tf.Tensor4D) => decodeLatents(params, vae.config, latents), {
      name: 'vae-decode',
    }),
  };
}
