/**
 * Z-Image: loading, images at two sizes, and steps of LoRA training with NFT and with GRPO. With --keep it leaves its files and
 * some of its numbers, from which the PyTorch engine computes the same with diffusers.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { type EpochMetrics, type GrpoConfigInput, loraPolicy, train } from '@flow-grpo/grpo-trainer';
import { random } from '@flow-grpo/tfjs-jit';
import { type Conditioning, ZImage } from '@flow-grpo/z-image-model';
import { loadZImage } from '@flow-grpo/z-image-model/node';
import * as tf from '@tensorflow/tfjs-core';
import { compile } from '../compiling';
import { peakMemory, startDevice } from '../device';
import { runInner } from '../inner';
import { writeZImage, zImagePolicyAt, zImagePrompts } from '../model/z-image';
import { report } from '../reporting';
import { inKeptFolder } from '../temporary';
import { summary, timed } from '../timing';
import type { Workload } from '../workload';

/** The first compiles. */
const EPOCHS = 3;

const FILES_LIMIT = 300;

export const zImage = (workload: Workload): Promise<void> =>
  inKeptFolder(async (folder) => {
    const model = join(folder, 'z-image');
    if (!existsSync(join(model, 'model_index.json')))
      await runInner('zImageFiles', { folder: model, limit: FILES_LIMIT });
    await startDevice();
    await measure(workload, model, folder);
  });

/** Writes the model, in a process of its own: it leaves the GPU's memory as if never used. */
export async function zImageFiles(workload: Workload, folder: string): Promise<void> {
  await startDevice();
  const begun = performance.now();
  const bytes = await writeZImage(workload, folder);
  report('zImage.files', { seconds: (performance.now() - begun) / 1000, GiB: bytes / 2 ** 30 });
}

async function measure(workload: Workload, folder: string, kept: string): Promise<void> {
  const { sizes, steps, rounds, trainingSize } = workload.zImage;
  const started = performance.now();
  let loaded = 0;
  const parts = await loadZImage(folder, {
    dtype: workload.storage,
    vaeDtype: workload.storage,
    onProgress: ({ loadedBytes, totalBytes }) => {
      if (loadedBytes === totalBytes) loaded += totalBytes;
    },
  });
  const model = new ZImage(parts);
  const { params } = parts.transformer;
  const count = (record: Readonly<Record<string, tf.Tensor>>) =>
    Object.values(record).reduce((sum, { size }) => sum + size, 0);
  // What is uploaded last is there when one of its numbers is.
  await tf.tidy(() => tf.sum(Object.values(parts.vae.params).at(-1)!)).data();
  const seconds = (performance.now() - started) / 1000;
  report('zImage.load', {
    seconds,
    GBPerSecond: loaded / 1e9 / seconds,
    transformer: count(params),
    textEncoder: count(parts.textEncoder!.params),
    vae: count(parts.vae.params),
    ...peakMemory(),
  });

  const [prompt] = zImagePrompts(1);
  const first = performance.now();
  const given: Conditioning = { prompt: model.encodePrompts([prompt!]), negative: model.encodePrompts(['']) };
  const firstSeconds = (performance.now() - first) / 1000;
  const encoding = await timed(() => ({ ...model.encodePrompts([prompt!]) }), { rounds });
  report('zImage.text', { ...encoding, firstSeconds });

  for (const size of sizes) {
    const name = `${size[0]}`;
    const shape = model.latentShape(1, size);
    const x = random.normal(random.key(5), shape) as tf.Tensor4D;
    const t = tf.tensor1d([0.4]);
    const conditional = model.programs.refineCaptions(params, given.prompt);
    const unconditional = model.programs.refineCaptions(params, given.negative!);
    const { velocity, guidedVelocity, decode } = model.programs;
    const cost = await compile(velocity, params, x, t, conditional);
    const step = await timed(() => velocity(params, x, t, conditional), { rounds });
    report(`zImage.step${name}`, { ...step, ...cost, ...peakMemory() });
    const guidance = { guidanceScale: 4 };
    const both = await compile(guidedVelocity, params, x, t, conditional, unconditional, guidance);
    const guided = await timed(() => guidedVelocity(params, x, t, conditional, unconditional, guidance), {
      rounds,
    });
    report(`zImage.guidedStep${name}`, { ...guided, ...both, ...peakMemory() });
    const decoding = await compile(decode, parts.vae.params, x);
    report(`zImage.decode${name}`, {
      ...(await timed(() => decode(parts.vae.params, x), { rounds })),
      ...decoding,
      ...peakMemory(),
    });
    const samples: number[] = [];
    let finite = true;
    for (let i = 0; i < 3; i++) {
      const began = performance.now();
      const image = await model.generate(given, { size, steps, guidanceScale: 0, seed: i });
      const values = await image.data();
      samples.push(performance.now() - began);
      finite &&= values.every(Number.isFinite);
      image.dispose();
    }
    report(`zImage.image${name}`, { ...summary(samples.slice(1)), steps, finite, ...peakMemory() });
    const numbers = { velocity: velocity(params, x, t, conditional), decoded: decode(parts.vae.params, x) };
    await saveSafetensors(join(kept, `z-image-${size[0]}.safetensors`), {
      ...{ latents: x, t, states: given.prompt.states, length: given.prompt.lengths },
      ...numbers,
    });
    tf.dispose([x, t, conditional, unconditional, numbers] as tf.TensorContainer);
  }

  const prompts = zImagePrompts(2);
  for (const algorithm of ['nft', 'grpo'] as const) {
    const policy = loraPolicy(zImagePolicyAt(parts, trainingSize, prompts), { rank: 32, alpha: 64 });
    const seen: EpochMetrics[] = [];
    const config = configuration(workload, algorithm);
    const { trained, ema } = await train({
      policy,
      prompts: prompts.map((text) => ({ prompt: text })),
      scorer: brightness,
      config,
      onEpoch: (metrics) => void seen.push(metrics),
    });
    const trainedParameters = count(trained);
    tf.dispose([trained, ema]);
    const warm = seen.slice(1);
    const median = (name: string) => summary(warm.map((metrics) => metrics[name]!)).ms;
    report(`zImage.lora-${algorithm}`, {
      ...summary(warm.map(({ seconds }) => 1000 * seconds!)),
      ...peakMemory(),
      firstSeconds: seen[0]!.seconds,
      secondsRollout: median('secondsRollout'),
      secondsReward: median('secondsReward'),
      secondsUpdate: median('secondsUpdate'),
      images: 2 * workload.zImage.group,
      trainedParameters,
      gradNorm: median('gradNorm'),
    });
  }
}

/** Two prompts, one update. */
const configuration = ({ zImage }: Workload, algorithm: 'nft' | 'grpo'): GrpoConfigInput => ({
  algorithm,
  epochs: EPOCHS,
  evalEvery: EPOCHS,
  saveEvery: EPOCHS,
  sampling: {
    numSteps: zImage.steps,
    evalNumSteps: 1,
    promptsPerEpoch: 2,
    samplesPerPrompt: zImage.group,
    batchSize: zImage.group,
  },
  training: { updatesPerEpoch: 1, batchSize: 2, stepsPerPass: 1, learningRate: 1e-4 },
  nft: { timesPerImage: Math.min(4, zImage.steps) },
  divergence: { action: 'off' },
});

const brightness = async (images: tf.Tensor4D): Promise<number[]> => {
  const means = tf.tidy(() => tf.mean(tf.reshape(images, [images.shape[0], -1]), 1));
  const scores = Array.from(await means.data());
  means.dispose();
  return scores;
};
