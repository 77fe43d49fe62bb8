/**
 * Makes the quickstart's model from nothing but rendered scenes: a small VAE first, then a small Show-o2 on its
 * latents. Both parts continue from where they were stopped.
 *
 *     npm run pretrain -w examples/quickstart -- --work runs/pretrain
 */

import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadParams, saveSafetensors } from '@flow-grpo/checkpoint-io';
import {
  GENEVAL_TAGS,
  type GenevalTag,
  type ShapeScenes,
  sceneBatch,
  shapeScenes,
} from '@flow-grpo/datasets';
import { type FitReport, pretrain, trainVae } from '@flow-grpo/grpo-trainer';
import { shapeEval } from '@flow-grpo/rewards';
import {
  decode,
  decodeImage,
  encode,
  encodeImage,
  encodeText,
  initParams,
  initVaeParams,
  parseVaeConfig,
  promptTokens,
  showo2ConfigJson,
  vaeConfigJson,
  velocity,
  type WanVaeConfig,
  wordTokenizer,
} from '@flow-grpo/showo2-model';
import { jit } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { Command } from 'commander';
import { ASSETS, FILES, IMAGE_SIZE, smallShowo2Config, smallVaeConfig, vocabulary } from './small-model';

const options = new Command('pretrain')
  .description('Pre-trains the small VAE and the small Show-o2 on shape scenes')
  .option('--out <folder>', 'where the model goes', ASSETS)
  .option('--work <folder>', 'where unfinished parts are kept', 'runs/pretrain')
  .option('--vae-steps <n>', 'steps of the VAE', Number, 2000)
  .option('--vae-batch <n>', 'images a step of the VAE', Number, 32)
  .option('--flow-steps <n>', 'steps of Show-o2', Number, 12_000)
  .option('--flow-batch <n>', 'images a step of Show-o2', Number, 256)
  .option('--scenes <n>', 'scenes that Show-o2 learns from', Number, 60_000)
  .option('--kinds <names>', 'kinds of scenes that Show-o2 learns, with commas between', list, [
    ...GENEVAL_TAGS,
  ])
  .option('--seed <n>', 'everything random is a function of it', Number, 0)
  .parse()
  .opts<{
    out: string;
    work: string;
    vaeSteps: number;
    vaeBatch: number;
    flowSteps: number;
    flowBatch: number;
    scenes: number;
    kinds: GenevalTag[];
    seed: number;
  }>();

const STEPS_BETWEEN_SAVES = 250;
/** Chance that a caption is left out, so that the model learns the unconditional velocity too. */
const TEXT_DROPOUT = 0.1;
const scenes = shapeScenes({ size: IMAGE_SIZE, seed: options.seed, split: 'train' });
/** The scenes of Show-o2: those of some kinds alone are learnt sooner. */
const captioned = shapeScenes({ size: IMAGE_SIZE, seed: options.seed, split: 'train', kinds: options.kinds });
const started = performance.now();

await tf.setBackend('xla');
await mkdir(options.work, { recursive: true });
await mkdir(options.out, { recursive: true });
const out = (file: string) => join(options.out, file);
const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
process.once('SIGTERM', () => stop.abort());

const words = vocabulary();
await writeFile(out(FILES.vocabulary), `${JSON.stringify({ type: 'word', words }, null, 2)}\n`);
const vae = await makeVae();
if (vae && !stop.signal.aborted) await makeShowo2(vae);
process.exit(stop.signal.aborted ? 130 : 0);

/** Trains the VAE, or loads it when it is finished; undefined when it was stopped before. */
async function makeVae() {
  if (existsSync(out(FILES.vae)) && existsSync(out(FILES.vaeConfig))) {
    const config = parseVaeConfig(
      JSON.parse(readFileSync(out(FILES.vaeConfig), 'utf8')),
      out(FILES.vaeConfig),
    );
    return { params: await loadParams(out(FILES.vae)), config };
  }
  const config = smallVaeConfig();
  const start = initVaeParams(config, options.seed);
  // Images pass the temporal convolutions by.
  const [trained, idle] = [false, true].map((temporal) =>
    Object.fromEntries(Object.entries(start).filter(([name]) => name.includes('time_conv') === temporal)),
  ) as [typeof start, typeof start];
  const { ema, reason } = await trainVae(
    trained,
    {
      encode: (weights, images) => encode({ ...idle, ...weights }, config, addTime(images)),
      decode: (weights, latents) => dropTime(decode({ ...idle, ...weights }, config, latents as tf.Tensor5D)),
    },
    (step) => {
      const { images, shape } = sceneBatch(scenes, step * options.vaeBatch, options.vaeBatch);
      return tf.tensor4d(Float32Array.from(images, toSigned), shape);
    },
    {
      steps: options.vaeSteps,
      learningRate: 2e-3,
      emaDecay: 0.995,
      seed: options.seed,
      checkpoint: join(options.work, 'vae'),
      saveEvery: STEPS_BETWEEN_SAVES,
      onReport: report('VAE'),
      signal: stop.signal,
    },
  );
  if (reason === 'interrupted') return undefined;
  const weights = { ...idle, ...ema };
  const measured = { ...config, ...(await latentStatistics(weights)) };
  await saveSafetensors(out(FILES.vae), weights, { dtype: 'float16' });
  await writeFile(out(FILES.vaeConfig), `${JSON.stringify(vaeConfigJson(measured), null, 2)}\n`);
  const params = await loadParams(out(FILES.vae));
  const kept = await roundTrip(params, measured);
  console.log(`VAE: the checker accepts ${(100 * kept).toFixed(1)} % of scenes after encoding and decoding`);
  return { params, config: measured };
}

/** What the checker says of scenes that went through the VAE and back; a blurred or tinted one would fail. */
async function roundTrip(weights: Record<string, tf.Tensor>, config: WanVaeConfig): Promise<number> {
  const run = jit(
    (images: tf.Tensor4D) => {
      const decoded = decodeImage(
        weights,
        config,
        encodeImage(weights, config, tf.sub(tf.mul(images, 2), 1)),
      );
      return tf.clipByValue(tf.add(tf.mul(decoded, 0.5), 0.5), 0, 1) as tf.Tensor4D;
    },
    { name: 'roundTrip' },
  );
  const { images, shape, prompts, metadata } = sceneBatch(scenes, 1_000_000, 240);
  const decoded = run(tf.tensor4d(images, shape));
  const { details } = await shapeEval().score(decoded, prompts, metadata);
  decoded.dispose();
  return details.strict!.reduce((sum, value) => sum + value, 0) / details.strict!.length;
}

/** Mean and deviation of each latent channel over 2,000 scenes, rounded to what the file keeps. */
async function latentStatistics(weights: Record<string, tf.Tensor>) {
  const latents = await encodeScenes(scenes, weights, smallVaeConfig(), 2000);
  const channels = latents.at(0)!.length / (IMAGE_SIZE / 8) ** 2;
  const sums = Array.from({ length: channels }, () => [0, 0]);
  let count = 0;
  for (const one of latents) {
    for (let i = 0; i < one.length; i++) {
      const sum = sums[i % channels]!;
      sum[0]! += one[i]!;
      sum[1]! += one[i]! ** 2;
    }
    count += one.length / channels;
  }
  const round = (value: number) => Number(value.toPrecision(5));
  return {
    latentMean: sums.map(([sum]) => round(sum! / count)),
    latentStd: sums.map(([sum, squares]) => round(Math.sqrt(squares! / count - (sum! / count) ** 2))),
  };
}

/** The latents of the first `count` scenes. */
async function encodeScenes(
  from: ShapeScenes,
  weights: Record<string, tf.Tensor>,
  config: WanVaeConfig,
  count: number,
): Promise<Float32Array[]> {
  const run = jit((images: tf.Tensor4D) => encodeImage(weights, config, tf.sub(tf.mul(images, 2), 1)), {
    name: 'encodeImage',
  });
  const batch = 100;
  const latents: Float32Array[] = [];
  for (let start = 0; start < count; start += batch) {
    const { images, shape } = sceneBatch(from, start, batch);
    const input = tf.tensor4d(images, shape);
    const output = run(input);
    const values = (await output.data()) as Float32Array;
    const each = values.length / batch;
    for (let i = 0; i < batch; i++) latents.push(values.slice(i * each, (i + 1) * each));
    tf.dispose([input, output]);
    if (start % 10_000 === 0) console.log(`latents: ${start} of ${count} scenes`);
  }
  return latents.slice(0, count);
}

async function makeShowo2(vae: { params: Record<string, tf.Tensor>; config: WanVaeConfig }) {
  const tokenizer = wordTokenizer({ words });
  const config = smallShowo2Config(tokenizer);
  const latents = await encodeScenes(captioned, vae.params, vae.config, options.scenes);
  const captions = latents.map((_, i) => tokenizer.encode(captioned.example(i).prompt));
  const size = options.flowBatch;
  const shape = [size, config.gridHeight * 2, config.gridWidth * 2, config.latentChannels];
  const { ema, reason, steps } = await pretrain(
    initParams(config, options.seed),
    (weights, x, t, { tokens, lengths }: ReturnType<typeof promptTokens>) => {
      const prompt = encodeText(weights, config, tokens, lengths);
      const condition = { prompt, unconditional: prompt };
      return velocity(weights, config, x, t, condition, { guidanceScale: 0 }).velocity;
    },
    (step) => {
      const chosen = Array.from({ length: size }, (_, i) => scatter(step * size + i, latents.length));
      const values = new Float32Array(size * latents[0]!.length);
      for (const [i, index] of chosen.entries()) values.set(latents[index]!, i * latents[0]!.length);
      const texts = chosen.map((index, i) =>
        scatter((step * size + i) * 7 + 3, 1000) < TEXT_DROPOUT * 1000 ? [] : captions[index]!,
      );
      return {
        latents: tf.tensor(values, shape),
        condition: promptTokens(config, texts, config.maxTextLength),
      };
    },
    {
      steps: options.flowSteps,
      learningRate: 1.5e-3,
      seed: options.seed,
      times: 'logit-normal',
      shift: 2,
      checkpoint: join(options.work, 'flow'),
      saveEvery: STEPS_BETWEEN_SAVES,
      onReport: report('Show-o2'),
      signal: stop.signal,
    },
  );
  await saveSafetensors(out(FILES.model), ema, { dtype: 'float16' });
  await writeFile(out(FILES.modelConfig), `${JSON.stringify(showo2ConfigJson(config), null, 2)}\n`);
  const { out: _, work: __, ...recipe } = options;
  const seconds = Math.round((performance.now() - started) / 1000);
  const record = { ...recipe, stepsDone: steps, finished: reason === 'finished', seconds };
  await writeFile(out(FILES.record), `${JSON.stringify(record, null, 2)}\n`);
}

/** A fixed pseudo-random index below `length` for every counter. */
function scatter(counter: number, length: number): number {
  let h = Math.imul(counter ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) % length;
}

function report(what: string) {
  return ({ step, steps, loss, gradNorm, stepsPerSecond, secondsLeft }: FitReport) =>
    console.log(
      `${what}: step ${step} of ${steps}, loss ${loss.toFixed(4)}, gradient norm ${gradNorm.toFixed(3)}, ` +
        `${(1000 / stepsPerSecond).toFixed(0)} ms a step, ${(secondsLeft / 60).toFixed(1)} minutes left`,
    );
}

function list(value: string): string[] {
  return value.split(',').map((name) => name.trim());
}

/** [0, 1] → [−1, 1]. */
function toSigned(value: number): number {
  return 2 * value - 1;
}

function addTime(images: tf.Tensor): tf.Tensor5D {
  return tf.expandDims(images, 1) as tf.Tensor5D;
}

function dropTime(video: tf.Tensor5D): tf.Tensor {
  return tf.squeeze(video, [1]);
}
