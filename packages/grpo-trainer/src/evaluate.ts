/** Evaluation: a fixed list of prompts with fixed noise, at noise level 0. */
import { shiftedSchedule } from '@flow-grpo/sde-sampler';
import { jit, random } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import type { GrpoConfig } from './config/schema';
import { indices } from './indices';
import type { Params, Policy } from './policy';
import { joinDetails, scoreBatch } from './rollout/collect';
import { flattenTensors, samplerFunction } from './rollout/rollout';
import { planSteps, stackSteps } from './rollout/steps';
import type { PromptSource, Scorer, Scores } from './scorer';
import type { Progress } from './train';

export interface Evaluation {
  /** Epochs trained before it. */
  readonly epoch: number;
  /** Mean over all prompts. */
  readonly reward: number;
  readonly prompts: readonly string[];
  readonly scores: readonly number[];
  readonly details: Readonly<Record<string, readonly number[]>>;
  /** The first images, row by row in [0, 1], and the shape [n, H, W, 3] they have. */
  readonly images: Float32Array;
  readonly imageShape: readonly number[];
  readonly seconds: number;
}

/** Noise of evaluations comes from its own stream of the seed. */
const EVALUATION_STREAM = 0x65766c;

/** Images handed to `onEvaluation`, for grids. */
const SHOWN_IMAGES = 16;

/** The compiled evaluation of a policy on a fixed list of prompts. */
export function evaluator<C, P>(
  policy: Policy<C, P>,
  scorer: Scorer,
  prompts: PromptSource,
  config: GrpoConfig,
) {
  if (prompts.length === 0)
    throw new Error('evalPrompts is empty; leave it out to train without evaluations');
  const examples = Array.from({ length: prompts.length }, (_, i) => prompts.at(i)!);
  const batchSize = Math.min(config.evalBatchSize, examples.length);
  const batches = Math.ceil(examples.length / batchSize);
  const sample = samplerFunction(policy, examples.length);
  const decode = jit((latents: tf.Tensor) => policy.decode(latents), { name: 'decode' });
  const { times } = shiftedSchedule(
    config.sampling.evalNumSteps ?? config.sampling.numSteps,
    config.sampling.shift,
  );
  const plan = planSteps(times, 'ode', 0, []);

  return async (
    weights: Params,
    epoch: number,
    onProgress?: (progress: Progress) => void,
  ): Promise<Evaluation> => {
    const started = performance.now();
    const steps = stackSteps(plan);
    const root = random.key(config.seed);
    const key = random.foldIn(root, EVALUATION_STREAM);
    const scored: Scores[] = [];
    const shown: Float32Array[] = [];
    let imageShape: number[] = [];
    for (let b = 0; b < batches; b++) {
      onProgress?.({ phase: 'evaluation', epoch, done: b, total: batches });
      const places = Array.from({ length: batchSize }, (_, i) =>
        Math.min(b * batchSize + i, examples.length - 1),
      );
      const real = Math.min(batchSize, examples.length - b * batchSize);
      const condition = policy.encodePrompts(places.map((i) => examples[i]!.prompt));
      const samples = tf.tensor1d(places, 'int32');
      const rows = indices(0, batchSize);
      const latents = sample(weights, condition, { samples, rows }, steps, key);
      const decoded = decode(latents);
      const images = real === batchSize ? tf.clone(decoded) : tf.slice(decoded, 0, real);
      tf.dispose(flattenTensors([condition, samples, rows, latents, decoded]));
      try {
        scored.push(
          await scoreBatch(
            scorer,
            images,
            places.slice(0, real).map((i) => examples[i]!),
          ),
        );
        const missing = SHOWN_IMAGES - b * batchSize;
        if (missing > 0) {
          const part = tf.slice(images, 0, Math.min(missing, real));
          imageShape = part.shape;
          shown.push((await part.data()) as Float32Array);
          part.dispose();
        }
      } finally {
        images.dispose();
      }
    }
    tf.dispose(flattenTensors([steps, root, key]));
    const scores = scored.flatMap((part) => part.scores);
    const pixels = concatenate(shown);
    return {
      epoch,
      reward: scores.reduce((sum, value) => sum + value, 0) / scores.length,
      prompts: examples.map(({ prompt }) => prompt),
      scores,
      details: joinDetails(scored),
      images: pixels,
      imageShape: [pixels.length / (imageShape[1]! * imageShape[2]! * 3), ...imageShape.slice(1)],
      seconds: (performance.now() - started) / 1000,
    };
  };
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
