import {
  type Attend,
  type LayerKv,
  type Params,
  qwenLayer,
  repeatRows,
  runLayers,
  stopGradient,
} from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { guide, isGuided } from '../guidance';
import { blockModulation, headBlock, splitModulation } from '../head/block';
import { finalLayer, finalModulation, headInput, headRotary, tokensToLatents } from '../head/head';
import { timeEmbedding, timeToken } from '../head/time';
import { SHOWO2_LAYER_BASES } from '../layers';
import { trunkNorm, trunkRotary } from '../trunk/trunk';
import { imageEmbeddings } from '../vision/embed';
import { type Showo2Condition, encodeHeadText, type TextState } from './condition';

/** The trunk's output at the head's width, [B, 1 + patches, head width], for the two guidance branches. */
export type Features = {
  conditional: tf.Tensor;
  /** Absent without guidance. */
  unconditional?: tf.Tensor;
};

/** What one evaluation of the model gives. */
export type Denoised = {
  /** The guided velocity, the shape of the latents. */
  velocity: tf.Tensor;
  /** That of the conditional branch, as without guidance. */
  conditional: tf.Tensor;
  features: Features;
};

export interface VelocityOptions {
  /** v = u + scale (c - u), 0 or more; 0 means no guidance: the conditional velocity alone. */
  guidanceScale: number;
  /** Treats the unconditional branch as a constant: no gradient, forward pass only (as flow_grpo trains). */
  detachUnconditional?: boolean;
  /** Zeroes the velocity of a clip's first frame, which is given (image to video). */
  firstFrameAsCondition?: boolean;
}

/** Joins the rows of two states, padding the shorter text: padding lies beyond every row's length and is never seen. */
function joinKv(a: LayerKv, b: LayerKv): LayerKv {
  const width = Math.max(a.keys.shape[2]!, b.keys.shape[2]!);
  const fit = (x: tf.Tensor) => {
    const missing = width - x.shape[2]!;
    return missing === 0
      ? x
      : tf.pad(
          x,
          x.shape.map((_, axis): [number, number] => [0, axis === 2 ? missing : 0]),
        );
  };
  const join = (x: tf.Tensor, y: tf.Tensor) => tf.concat([fit(x), fit(y)], 0);
  return { keys: join(a.keys, b.keys), values: join(a.values, b.values) };
}

/** Image queries over [image ; text] keys: the image block comes first, so one length a row is the whole mask. */
function attendWithText(text: LayerKv, kvLengths: tf.Tensor): Attend {
  return (q, k, v) =>
    scaledDotProductAttention(q, tf.concat([k, text.keys], 1), tf.concat([v, text.values], 1), { kvLengths });
}

/** The image block's true positions [R, m]: it follows its row's text. */
const imagePositions = (lengths: tf.Tensor, block: number) =>
  tf.add(tf.expandDims(lengths, 1), tf.expandDims(tf.range(0, block, 1, 'int32'), 0));

function trunkFeatures(
  params: Params,
  config: Showo2Config,
  block: tf.Tensor,
  text: LayerKv,
  lengths: tf.Tensor,
) {
  const size = block.shape[1]!;
  const rotary = trunkRotary(config.trunk, imagePositions(lengths, size));
  const kvLengths = tf.add(lengths, tf.scalar(size, 'int32'));
  const { x } = runLayers(
    params,
    SHOWO2_LAYER_BASES.trunk,
    config.trunk.layers,
    block,
    (p, prefix, y, given) => [
      qwenLayer(p, prefix, config.trunk, y, rotary, attendWithText(given!, kvLengths)),
    ],
    text,
  );
  return headInput(params, config, trunkNorm(params, config, x));
}

/** Pixels [R, patches, p² C] of the head over its input [R, m, width]; `time` [R, width]. */
function headPixels(
  params: Params,
  config: Showo2Config,
  features: tf.Tensor,
  time: tf.Tensor,
  text: LayerKv,
  lengths: tf.Tensor,
): tf.Tensor {
  const size = features.shape[1]!;
  const rotary = headRotary(config.head, imagePositions(lengths, size));
  const kvLengths = tf.add(lengths, tf.scalar(size, 'int32'));
  const { x } = runLayers(
    params,
    SHOWO2_LAYER_BASES.head,
    config.head.layers,
    features,
    (p, prefix, y, given) => {
      const modulation = splitModulation(tf.expandDims(blockModulation(p, prefix, time), 1));
      return [headBlock(p, prefix, config.head, y, rotary, attendWithText(given!, kvLengths), modulation)];
    },
    text,
  );
  const patches = config.addTimeEmbeds ? tf.slice(x, [0, 1, 0], [-1, size - 1, -1]) : x;
  return finalLayer(params, config.head, patches, tf.expandDims(finalModulation(params, time), 1));
}

/** The head's text keys and values for `rows` rows. Rows of one text (one prompt, or the unconditional) run once. */
function headText(
  params: Params,
  config: Showo2Config,
  state: TextState,
  rows: number,
  oneText: boolean,
): LayerKv {
  const fit = ({ keys, values }: LayerKv) => ({
    keys: repeatRows(keys, rows),
    values: repeatRows(values, rows),
  });
  if (state.headKeys && state.headValues) return fit({ keys: state.headKeys, values: state.headValues });
  const hidden = oneText ? tf.slice(state.hidden, [0, 0, 0], [1, -1, -1]) : state.hidden;
  return fit(encodeHeadText(params, config, hidden));
}

const trunkText = (state: TextState, rows: number): LayerKv => ({
  keys: repeatRows(state.keys, rows),
  values: repeatRows(state.values, rows),
});

function finish(
  config: Showo2Config,
  pixels: tf.Tensor,
  shape: number[],
  options: VelocityOptions,
): tf.Tensor {
  const velocity = tokensToLatents(config, pixels, shape.slice(1));
  if (!options.firstFrameAsCondition) return velocity;
  if (velocity.rank !== 5) throw new Error('firstFrameAsCondition needs clips [B, T, H, W, C].');
  const [first, rest] = tf.split(velocity, [1, velocity.shape[1]! - 1], 1) as [tf.Tensor, tf.Tensor];
  return tf.concat([tf.zerosLike(first), rest], 1);
}

/**
 * The guided velocity at latents x [B, H, W, C] (or clips [B, T, H, W, C]) and times t [B]: only the image tokens run,
 * over the condition's cached text; both guidance branches share one image embedding. Equals `forwardSequence` up to
 * rounding. Works inside jit; differentiable in every parameter the condition does not depend on.
 */
export function showo2Velocity(
  params: Params,
  config: Showo2Config,
  x: tf.Tensor,
  t: tf.Tensor,
  condition: Showo2Condition,
  options: VelocityOptions,
): Denoised {
  const rows = x.shape[0]!;
  const time = timeEmbedding(params, config, t);
  const images = imageEmbeddings(params, config, x);
  const token = tf.expandDims(timeToken(params, config, time), 1);
  const block = config.addTimeEmbeds ? tf.concat([token, images], 1) : images;
  const { prompt, unconditional } = condition;
  const lengths = repeatRows(prompt.lengths, rows);
  let features: Features;
  if (!isGuided(options.guidanceScale)) {
    features = { conditional: trunkFeatures(params, config, block, trunkText(prompt, rows), lengths) };
  } else {
    const nullLengths = repeatRows(unconditional.lengths, rows);
    const nullText = trunkText(unconditional, rows);
    if (options.detachUnconditional) {
      features = {
        conditional: trunkFeatures(params, config, block, trunkText(prompt, rows), lengths),
        unconditional: stopGradient(() => trunkFeatures(params, config, block, nullText, nullLengths)),
      };
    } else {
      const both = trunkFeatures(
        params,
        config,
        tf.concat([block, block], 0),
        joinKv(trunkText(prompt, rows), nullText),
        tf.concat([lengths, nullLengths], 0),
      );
      const [c, u] = tf.split(both, 2) as [tf.Tensor, tf.Tensor];
      features = { conditional: c, unconditional: u };
    }
  }
  return { ...fromFeatures(params, config, features, time, condition, x.shape, options), features };
}

/**
 * The same velocity from features kept of an earlier call at the same x and t: the head alone, for training where only
 * the head's weights change. `shape` is that of the latents. The unconditional branch is a constant by default.
 */
export function velocityFromFeatures(
  params: Params,
  config: Showo2Config,
  features: Features,
  t: tf.Tensor,
  condition: Showo2Condition,
  shape: number[],
  options: VelocityOptions,
): tf.Tensor {
  const time = timeEmbedding(params, config, t);
  return fromFeatures(params, config, features, time, condition, shape, {
    detachUnconditional: true,
    ...options,
  }).velocity;
}

function fromFeatures(
  params: Params,
  config: Showo2Config,
  features: Features,
  time: tf.Tensor,
  { prompt, unconditional }: Showo2Condition,
  shape: number[],
  options: VelocityOptions,
): Omit<Denoised, 'features'> {
  const rows = shape[0]!;
  const lengths = repeatRows(prompt.lengths, rows);
  const text = headText(params, config, prompt, rows, false);
  const conditional = () => headPixels(params, config, features.conditional, time, text, lengths);
  const finished = (pixels: tf.Tensor) => finish(config, pixels, shape, options);
  if (!isGuided(options.guidanceScale)) {
    const velocity = finished(conditional());
    return { velocity, conditional: velocity };
  }
  const base = features.unconditional;
  if (!base)
    throw new Error('Guidance needs features of the unconditional branch; they were made without guidance.');
  const nullLengths = repeatRows(unconditional.lengths, rows);
  const guided = (c: tf.Tensor, u: tf.Tensor) => ({
    velocity: finished(guide(c, u, options.guidanceScale)),
    conditional: finished(c),
  });
  if (options.detachUnconditional) {
    const constant = stopGradient(() => {
      const nullText = headText(params, config, unconditional, rows, true);
      return headPixels(params, config, base, time, nullText, nullLengths);
    });
    return guided(conditional(), constant);
  }
  const pixels = headPixels(
    params,
    config,
    tf.concat([features.conditional, base], 0),
    tf.concat([time, time], 0),
    joinKv(text, headText(params, config, unconditional, rows, true)),
    tf.concat([lengths, nullLengths], 0),
  );
  return guided(...(tf.split(pixels, 2) as [tf.Tensor, tf.Tensor]));
}
