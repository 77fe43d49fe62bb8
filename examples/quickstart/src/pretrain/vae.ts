/** The small VAE: trained on scenes, its latents measured, its round trip judged by the checker. */
import { type ShapeScenes, sceneBatch } from '@flow-grpo/datasets';
import { shapeEval } from '@flow-grpo/rewards';
import {
  decodeImage,
  decodeVideo,
  encodeImage,
  encodeVideo,
  initVaeParams,
  type WanVaeConfig,
} from '@flow-grpo/showo2-model';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { type FitOptions, trainVae } from 'flow-grpo/pretrain';
import { toSigned, toUnit } from '../policy';
import { smallVaeConfig } from '../small-model';

export interface Vae {
  params: Record<string, tf.Tensor>;
  config: WanVaeConfig;
}

/** Scenes kept for measuring, far behind those that train. */
const MEASURED_FROM = 10_000_000;

/** Trains the VAE on scenes of the stream; undefined when it was interrupted. */
export async function fitVae(
  scenes: ShapeScenes,
  batchSize: number,
  options: FitOptions,
): Promise<Vae | undefined> {
  const config = smallVaeConfig();
  const start = initVaeParams(config, options.seed ?? 0);
  // Images pass the temporal convolutions by.
  const [trained, idle] = [false, true].map((temporal) =>
    Object.fromEntries(Object.entries(start).filter(([name]) => name.includes('time_conv') === temporal)),
  ) as [typeof start, typeof start];
  const { ema, reason } = await trainVae(
    trained,
    {
      encode: (weights, images) => encodeVideo({ ...idle, ...weights }, config, addTime(images)),
      decode: (weights, latents) =>
        dropTime(decodeVideo({ ...idle, ...weights }, config, latents as tf.Tensor5D)),
    },
    (step) => toSigned(sceneBatch(scenes, step * batchSize, batchSize).images, batchSize),
    { learningRate: 2e-3, emaDecay: 0.995, ...options },
  );
  if (reason === 'interrupted') return undefined;
  const params = { ...idle, ...ema };
  return { params, config: { ...config, ...(await latentStatistics(scenes, { params, config })) } };
}

/** The latents [count, h, w, C] of the first scenes, on the device. */
export function encodeScenes(scenes: ShapeScenes, { params, config }: Vae, count: number, from = 0) {
  const run = jit((images: tf.Tensor4D) => encodeImage(params, config, images), { name: 'encodeImage' });
  const batch = Math.min(500, count);
  const parts: tf.Tensor4D[] = [];
  for (let start = 0; start < count; start += batch) {
    const input = toSigned(sceneBatch(scenes, from + start, batch).images, batch);
    parts.push(run(input) as tf.Tensor4D);
    input.dispose();
    if (start % 20_000 === 0 && start > 0) console.log(`latents: ${start} of ${count} scenes`);
  }
  const all = tf.tidy(() => tf.slice(tf.concat(parts), 0, count)) as tf.Tensor4D;
  tf.dispose(parts);
  return all;
}

/** What share of scenes the checker still accepts after the VAE and back; a blurred or tinted one fails. */
export async function roundTrip(scenes: ShapeScenes, { params, config }: Vae): Promise<number> {
  const run = jit(
    (images: tf.Tensor4D) => toUnit(decodeImage(params, config, encodeImage(params, config, images))),
    { name: 'roundTrip' },
  );
  const count = 600;
  const { images, prompts, metadata } = sceneBatch(scenes, MEASURED_FROM, count);
  const decoded = run(toSigned(images, count));
  const { details } = await shapeEval().score(decoded, prompts, metadata);
  decoded.dispose();
  return details.strict!.reduce((sum, value) => sum + value, 0) / count;
}

/** Mean and deviation of each latent channel, rounded to what the configuration keeps. */
async function latentStatistics(scenes: ShapeScenes, vae: Vae) {
  const latents = encodeScenes(scenes, vae, 2000, MEASURED_FROM);
  const { mean, variance } = tf.moments(latents, [0, 1, 2]);
  const round = (values: Float32Array) => Array.from(values, (value) => Number(value.toPrecision(5)));
  const statistics = {
    latentMean: round((await mean.data()) as Float32Array),
    latentStd: round(((await variance.data()) as Float32Array).map(Math.sqrt)),
  };
  tf.dispose([latents, mean, variance]);
  return statistics;
}

function addTime(images: tf.Tensor): tf.Tensor5D {
  return tf.expandDims(images, 1) as tf.Tensor5D;
}

function dropTime(video: tf.Tensor5D): tf.Tensor {
  return tf.squeeze(video, [1]);
}
