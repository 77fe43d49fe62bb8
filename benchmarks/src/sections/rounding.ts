/**
 * No time, but how far bfloat16 takes the numbers of Show-o2: the guided velocity, a short trajectory and the gradients of the
 * diffusion head, of a model with all its layers on a small image. Ours are written to files; the PyTorch engine computes the
 * same from the same weights and inputs, and reports both distances from float32.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadParams, saveSafetensors } from '@flow-grpo/checkpoint-io';
import { castToStorage, type Params } from '@flow-grpo/nn';
import { shiftedSchedule } from '@flow-grpo/sde-sampler';
import { promptTokens, showo2LatentShape } from '@flow-grpo/showo2-model';
import { loadShowo2 } from '@flow-grpo/showo2-model/node';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { type FloatStorage, jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { startDevice } from '../device';
import { runInner } from '../inner';
import { writeShowo2 } from '../model/checkpoints';
import { characterTokenizer, policyOf, prompts } from '../model/policy';
import { report } from '../reporting';
import { KEPT_FOLDER } from '../temporary';
import { paddedText, type Workload } from '../workload';

/**
 * What is computed. XLA may leave out the rounding of a value that it goes on computing with; in `everyRounding` it may not,
 * and rounds wherever the program says bfloat16, whatever the device's own rules for that are.
 */
const VARIANTS: Readonly<Record<string, { storage: FloatStorage; everyRounding?: true }>> = {
  float32: { storage: 'float32' },
  bfloat16: { storage: 'bfloat16' },
  everyRounding: { storage: 'bfloat16', everyRounding: true },
};

const IMAGES = 4;
const STEPS = 3;
const LIMIT = 1500;

/** Numbers of a gradient are every 61st where it has more than these, so that files stay small and every column is met. */
const ALL_OF = 2 ** 16;
const EVERY = 61;

/** The model and the text padding of this section in place of the workload's. */
const onSmallImages = (workload: Workload): Workload => ({
  ...workload,
  showo2: workload.rounding,
  vae: { ...workload.vae, dim: 8 }, // nothing is decoded
});

export async function rounding(): Promise<void> {
  const folder = process.env[KEPT_FOLDER];
  if (!folder)
    throw new Error('rounding needs --keep FOLDER, where PyTorch finds the weights and the numbers');
  const limit = LIMIT;
  if (!existsSync(join(folder, 'inputs.safetensors'))) await runInner('roundingFiles', { folder, limit });
  for (const name of Object.keys(VARIANTS)) await runInner(`roundingNumbers:${name}`, { folder, limit });
}

/** Writes the model, in bfloat16 so that float32 starts from the same weights, and the inputs. */
export async function roundingFiles(workload: Workload, folder: string): Promise<void> {
  await startDevice();
  const given = onSmallImages(workload);
  const { showo2 } = given;
  const model = join(folder, 'showo2');
  if (!existsSync(join(model, 'model.safetensors'))) await writeShowo2(given, model);
  const draw = (seed: number) => random.normal(random.key(seed), [IMAGES, ...showo2LatentShape(showo2)]);
  const ids = prompts(given, IMAGES).map(characterTokenizer(given).encode);
  await saveSafetensors(join(folder, 'inputs.safetensors'), {
    ...promptTokens(showo2, ids, paddedText(given)),
    latents: draw(21),
    lossWeights: draw(22),
    times: tf.tensor1d(Array.from({ length: IMAGES }, (_, i) => (i + 0.5) / IMAGES)),
    schedule: tf.tensor1d([...shiftedSchedule(STEPS, 3).times]),
    guidanceScale: tf.scalar(workload.guidanceScale),
  });
}

/** Computes one of `VARIANTS` and writes `ours-NAME.safetensors`. */
export async function roundingNumbers(workload: Workload, folder: string, name: string): Promise<void> {
  const begun = performance.now();
  const { storage, everyRounding } = VARIANTS[name]!;
  if (everyRounding) configure({ debugOptions: { xla_allow_excess_precision: false } });
  await startDevice();
  const given = onSmallImages(workload);
  const tokenizer = characterTokenizer(given);
  const { params, vae } = await loadShowo2(join(folder, 'showo2'), { dtype: storage, tokenizer });
  tf.dispose(vae.params);
  const policy = policyOf(given, params);
  const trained = Object.fromEntries(
    policy.trainable.map((key) => [key, castToStorage(policy.params[key]!, 'float32')]),
  );
  const inputs = await loadParams(join(folder, 'inputs.safetensors'));
  const condition = policy.encodePrompts(prompts(given, IMAGES));
  const rows = tf.range(0, IMAGES, 1, 'int32') as tf.Tensor1D;

  const velocity = jit(
    (weights: Params, x: tf.Tensor, t: tf.Tensor) => {
      const call = { trained: weights, condition, purpose: 'sampling' } as const;
      const prepared = policy.prepare(call);
      const { velocity, features } = policy.velocity({ ...call, x, t, rows, prepared });
      return { velocity, features: features! };
    },
    { name: 'velocity' },
  );
  const gradients = jit(
    (weights: Params, features: Readonly<Record<string, tf.Tensor>>, t: tf.Tensor, factors: tf.Tensor) => {
      const names = Object.keys(weights);
      const loss = (...values: tf.Tensor[]) => {
        const now = Object.fromEntries(names.map((key, i) => [key, values[i]!]));
        const call = { trained: now, condition } as const;
        const prepared = policy.prepare({ ...call, purpose: 'training' });
        const v = policy.velocityFromFeatures!({ ...call, features, t, rows, prepared });
        return tf.mean(tf.mul(v, factors)) as tf.Scalar;
      };
      const made = tf.grads(loss)(Object.values(weights));
      return Object.fromEntries(names.map((key, i) => [key, someOf(made[i]!)]));
    },
    { name: 'gradients' },
  );

  const { latents, times, schedule, lossWeights } = inputs;
  const first = velocity(trained, latents!, times!);
  const gradient = gradients(trained, first.features, times!, lossWeights!);
  const grid = await schedule!.data();
  let x = latents!;
  for (let i = 0; i + 1 < grid.length; i++) {
    const v = velocity(trained, x, tf.fill([IMAGES], grid[i]!)).velocity;
    x = tf.add(x, tf.mul(v, grid[i + 1]! - grid[i]!));
  }
  await saveSafetensors(join(folder, `ours-${name}.safetensors`), {
    velocity: first.velocity,
    trajectory: x,
    ...Object.fromEntries(Object.entries(gradient).map(([key, value]) => [`gradient.${key}`, value])),
  });
  report(`rounding.${name}`, { seconds: (performance.now() - begun) / 1000 });
}

const someOf = (gradient: tf.Tensor): tf.Tensor => {
  const flat = tf.reshape(gradient, [-1]);
  return flat.size > ALL_OF ? tf.stridedSlice(flat, [0], [flat.size], [EVERY]) : flat;
};
