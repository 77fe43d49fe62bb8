import type { Observe, Params } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { runCoder } from './coder';
import { spatialFactor, temporalFactor, type WanVaeConfig } from './config';
import { causalConv, type History } from './convolution';
import { decoderPlan, encoderPlan } from './plan';

/** What the encoder says of a video: a Gaussian over latents, diagonal. */
export type Posterior = {
  /** Normalised mean [B, t, h, w, C]: the latents models work on. */
  mean: tf.Tensor5D;
  /** Log variance [B, t, h, w, C] before normalisation. */
  logVariance: tf.Tensor5D;
};

export interface CoderOptions {
  /** Is called with the output of every module, under upstream's names. */
  observe?: Observe;
}

/**
 * Video [B, T, H, W, 3] in [−1, 1] → posterior over latents [B, 1 + (T − 1)/4, H/8, W/8, C] (for Wan 2.1's
 * factors). Differentiable in the parameters.
 *
 * @throws when height, width or T − 1 is not a multiple of the VAE's factors
 */
export function encodeVideo(
  params: Params,
  config: WanVaeConfig,
  video: tf.Tensor5D,
  options: CoderOptions = {},
): Posterior {
  checkVideo(config, video.shape);
  return posterior(params, config, runCoder(params, encoderPlan(config), video, undefined, options.observe));
}

/** {@link encodeVideo} in upstream's pieces (frame 0, then groups of four): the memory of one piece, the same numbers. */
export function encodeInPieces(params: Params, config: WanVaeConfig, video: tf.Tensor5D): Posterior {
  checkVideo(config, video.shape);
  const group = temporalFactor(config);
  const pieces = [1, ...Array<number>((video.shape[1] - 1) / group).fill(group)];
  const plan = encoderPlan(config);
  const encoded = inPieces(video, pieces, (piece, history) => runCoder(params, plan, piece, history));
  const result = posterior(params, config, encoded);
  encoded.dispose();
  return result;
}

/** Images [B, H, W, 3] in [−1, 1] → normalised mean latents [B, h, w, C]. */
export function encodeImage(params: Params, config: WanVaeConfig, images: tf.Tensor4D): tf.Tensor4D {
  return dropTime(encodeVideo(params, config, addTime(images)).mean);
}

/**
 * A latent sample: mean + exp(logVariance/2) · noise. As upstream does it, the noise is scaled by the standard
 * deviation before normalisation and added after it; the log variance is clamped to [−30, 20].
 */
export function samplePosterior({ mean, logVariance }: Posterior, noise: tf.Tensor5D): tf.Tensor5D {
  const std = tf.exp(tf.mul(tf.clipByValue(logVariance, -30, 20), 0.5));
  return tf.add(mean, tf.mul(std, noise));
}

/**
 * Normalised latents [B, t, h, w, C] → video [B, 1 + 4(t − 1), 8h, 8w, 3], in [−1, 1] except for overshoot: clamp
 * it before showing. Differentiable.
 */
export function decodeVideo(
  params: Params,
  config: WanVaeConfig,
  latents: tf.Tensor5D,
  options: CoderOptions = {},
): tf.Tensor5D {
  const z = causalConv(params, 'conv2', denormalise(config, latents));
  return runCoder(params, decoderPlan(config), z, undefined, options.observe);
}

/** {@link decodeVideo} one latent frame at a time: the memory of one piece, the same numbers. */
export function decodeInPieces(params: Params, config: WanVaeConfig, latents: tf.Tensor5D): tf.Tensor5D {
  const plan = decoderPlan(config);
  return inPieces(latents, Array<number>(latents.shape[1]).fill(1), (piece, history) =>
    runCoder(params, plan, causalConv(params, 'conv2', denormalise(config, piece)), history),
  );
}

/** Normalised latents [B, h, w, C] → images [B, H, W, 3], in [−1, 1] except for overshoot. */
export function decodeImage(params: Params, config: WanVaeConfig, latents: tf.Tensor4D): tf.Tensor4D {
  return dropTime(decodeVideo(params, config, addTime(latents)));
}

function posterior(params: Params, config: WanVaeConfig, encoded: tf.Tensor5D): Posterior {
  const [raw, logVariance] = tf.split(causalConv(params, 'conv1', encoded), 2, -1) as [
    tf.Tensor5D,
    tf.Tensor5D,
  ];
  const mean = tf.mul(tf.sub(raw, tf.tensor1d([...config.latentMean])), reciprocalStd(config)) as tf.Tensor5D;
  return { mean, logVariance };
}

function denormalise(config: WanVaeConfig, latents: tf.Tensor5D): tf.Tensor5D {
  return tf.add(tf.div(latents, reciprocalStd(config)), tf.tensor1d([...config.latentMean])) as tf.Tensor5D;
}

/** 1/std rounded to float32, as upstream stores it and divides by it. */
function reciprocalStd(config: WanVaeConfig): tf.Tensor1D {
  return tf.tensor1d(config.latentStd.map((std) => 1 / std));
}

function inPieces(
  x: tf.Tensor5D,
  lengths: readonly number[],
  run: (piece: tf.Tensor5D, history: History) => tf.Tensor5D,
): tf.Tensor5D {
  let history: Record<string, tf.Tensor5D> = {};
  const outputs: tf.Tensor5D[] = [];
  let start = 0;
  for (const length of lengths) {
    const before = history;
    const done = tf.tidy(() => {
      const next: History = new Map(Object.entries(before));
      const piece = tf.slice(x, [0, start, 0, 0, 0], [-1, length, -1, -1, -1]) as tf.Tensor5D;
      return { output: run(piece, next), history: Object.fromEntries(next) };
    });
    start += length;
    outputs.push(done.output);
    history = done.history;
    for (const [name, tensor] of Object.entries(before)) if (history[name] !== tensor) tensor.dispose();
  }
  tf.dispose(history);
  const joined = tf.concat(outputs, 1) as tf.Tensor5D;
  tf.dispose(outputs);
  return joined;
}

function checkVideo(config: WanVaeConfig, shape: readonly number[]) {
  const [, frames, height, width, channels] = shape as [number, number, number, number, number];
  const space = spatialFactor(config);
  const time = temporalFactor(config);
  if (channels !== 3 || height % space || width % space || (frames - 1) % time) {
    throw new Error(
      `WanVAE encodes [batch, 1 + ${time}k frames, height and width in multiples of ${space}, 3]; got [${shape.join(', ')}]`,
    );
  }
}

function addTime(images: tf.Tensor4D): tf.Tensor5D {
  return tf.expandDims(images, 1) as tf.Tensor5D;
}

function dropTime(video: tf.Tensor5D): tf.Tensor4D {
  return tf.squeeze(video, [1]) as tf.Tensor4D;
}
