/** Z-Image: images at two sizes, and steps of LoRA training with NFT and with GRPO. */
import { type EpochMetrics, type GrpoConfigInput, loraPolicy, train } from '@flow-grpo/grpo-trainer';
import { random } from '@flow-grpo/tfjs-jit';
import { type Conditioning, ZImage } from '@flow-grpo/z-image-model';
import * as tf from '@tensorflow/tfjs-core';
import { compile } from '../compiling';
import { peakMemory } from '../device';
import { zImageParts, zImagePolicyAt, zImagePrompts } from '../model/z-image';
import { report } from '../reporting';
import { summary, timed } from '../timing';
import type { Workload } from '../workload';

/** The first compiles. */
const EPOCHS = 3;

export async function zImage(workload: Workload): Promise<void> {
  const { sizes, steps, rounds, trainingSize } = workload.zImage;
  const started = performance.now();
  const parts = await zImageParts(workload);
  const model = new ZImage(parts);
  const { params } = parts.transformer;
  const count = (record: Readonly<Record<string, tf.Tensor>>) =>
    Object.values(record).reduce((sum, { size }) => sum + size, 0);
  report('zImage.weights', {
    seconds: (performance.now() - started) / 1000,
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
    tf.dispose([x, t, conditional, unconditional] as tf.TensorContainer);
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
