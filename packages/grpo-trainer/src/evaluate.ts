/** Evaluation: a fixed list of prompts with fixed noise, at noise level 0. */
import { planSteps, type StepTensors, shiftedSchedule, stackSteps } from '@flow-grpo/sde-sampler';
import { random, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { checkedPolicy } from './checked-policy';
import type { GrpoConfig } from './config/schema';
import { oneDevice } from './devices';
import { finiteMean } from './epoch-metrics';
import { createPauses } from './event-loop';
import type { Placement } from './placement';
import type { Params, Policy } from './policy';
import { oneProcess, type ProcessGroup, type SharedSignal, sharedSignal } from './process-group';
import type { Progress } from './progress';
import { samplerFunction } from './rollout/rollout';
import { asScorer, type PromptSource, type RewardFunction, type Scorer, type Scores } from './scorer';
import { decodeFunction, joinDetails, MAX_SCORING, scoreOwn } from './scoring';

export interface Evaluation {
  /** Epochs trained before it. */
  readonly epoch: number;
  /** Mean over all prompts, but those whose images the scorer dropped. */
  readonly reward: number;
  readonly prompts: readonly string[];
  /** What the data set says of each prompt. */
  readonly metadata: readonly Readonly<Record<string, unknown>>[];
  /** NaN for images that the scorer dropped. */
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

/** The compiled evaluation of a policy on a fixed list of prompts; batches are scored while the next one runs. */
export function createEvaluator<C, P>(
  given: Policy<C, P>,
  reward: Scorer | RewardFunction,
  prompts: PromptSource,
  config: GrpoConfig,
  placement: Placement = oneDevice,
  group: ProcessGroup = oneProcess,
) {
  if (prompts.length === 0)
    throw new Error('evalPrompts is empty; leave it out to train without evaluations');
  const policy = checkedPolicy(given);
  const scorer = asScorer(reward);
  const examples = Array.from({ length: prompts.length }, (_, i) => prompts.at(i)!);
  // The devices share each batch evenly; the last one is filled up with its last prompt.
  const share = Math.ceil(Math.min(config.evalBatchSize, examples.length) / placement.devices);
  const batchSize = share * placement.devices;
  const batches = Math.ceil(examples.length / batchSize);
  const sample = samplerFunction(policy, examples.length, placement);
  const decode = decodeFunction(policy, { placement, group });
  const schedule = shiftedSchedule(
    config.sampling.evalNumSteps ?? config.sampling.numSteps,
    config.sampling.shift,
  );
  const plan = planSteps(schedule, { rule: 'ode' });

  /** The first images of a batch, which every process can read. */
  const firstImages = (images: tf.Tensor4D, count: number): tf.Tensor4D | undefined => {
    if (count <= 0) return undefined;
    const part = tf.slice(images, 0, count);
    if (group.numProcesses === 1) return part;
    const everywhere = placement.replicate(part);
    part.dispose();
    return everywhere;
  };

  const distinct = distinctPrompts(examples.map(({ prompt }) => prompt));

  const imagesOf = (weights: Params, places: readonly number[], steps: StepTensors, key: tf.Tensor) => {
    const { prompts, rows } = distinct(places, batchSize);
    const encoded = tree.tidy(() => policy.encodePrompts(prompts));
    const condition = placement.replicate(encoded);
    const host = { samples: tf.tensor1d([...places], 'int32'), rows: tf.tensor1d(rows, 'int32') };
    const batch = placement.shardBatch(host);
    let latents: tf.Tensor | undefined;
    try {
      latents = sample(weights, condition, batch, steps, key);
      return decode(latents);
    } finally {
      tree.dispose([encoded, condition, host, batch, latents]);
    }
  };

  /** The images of batch `b`, and the examples they are of. */
  const drawBatch = (weights: Params, b: number, steps: StepTensors, key: tf.Tensor) => {
    const from = b * batchSize;
    const count = Math.min(batchSize, examples.length - from);
    const places = Array.from({ length: batchSize }, (_, i) => Math.min(from + i, examples.length - 1));
    const decoded = imagesOf(weights, places, steps, key);
    // Several processes leave out what filled a batch up when each has its own rows.
    const whole = count === batchSize || group.numProcesses > 1;
    const images = whole ? decoded : tf.slice(decoded, 0, count);
    if (images !== decoded) decoded.dispose();
    return images;
  };
  const randomKey = () => {
    const root = random.key(config.seed);
    const key = random.foldIn(root, EVALUATION_STREAM);
    root.dispose();
    return key;
  };

  /** @throws what the scorer throws, and the signal's reason when it is aborted. */
  const evaluate = async (
    weights: Params,
    epoch: number,
    onProgress?: (progress: Progress) => void,
    signal?: AbortSignal | SharedSignal,
  ): Promise<Evaluation> => {
    const stop = sharedSignal(group, signal);
    const place = { placement, group, stop };
    const started = performance.now();
    const steps = stackSteps(plan);
    const key = randomKey();
    const scoring: Promise<Scores>[] = [];
    const shown: Float32Array[] = [];
    let imageShape: number[] = [];

    /** Batches are scored in their order, one at a time. */
    const scoreAndShow = async (images: tf.Tensor4D, b: number, count: number): Promise<Scores> => {
      const from = b * batchSize;
      // Before anything is waited for: processes that share devices run the same programs in the same order.
      const first = firstImages(images, Math.min(SHOWN_IMAGES - from, count));
      try {
        await scoring.at(-1);
        const members = examples.slice(from, from + count);
        const name = `evaluation ${epoch} batch ${b}`;
        const scores = await scoreOwn(name, scorer, images, members, 'evaluation', place);
        if (first) {
          imageShape = first.shape;
          shown[b] = (await first.data()) as Float32Array;
        }
        return scores;
      } finally {
        tf.dispose([images, ...(first ? [first] : [])]);
      }
    };
    const pause = createPauses();
    try {
      for (let b = 0; b < batches; b++) {
        if (b >= MAX_SCORING) await scoring[b - MAX_SCORING];
        await pause();
        if (group.numProcesses === 1) stop.signal?.throwIfAborted();
        onProgress?.({ phase: 'evaluation', epoch, done: b, total: batches });
        const count = Math.min(batchSize, examples.length - b * batchSize);
        const scores = scoreAndShow(drawBatch(weights, b, steps, key), b, count);
        scores.catch(() => {}); // seen below; until then not unhandled
        scoring.push(scores);
      }
      const scored = await Promise.all(scoring);
      const pixels = concatenate(shown);
      const scores = scored.flatMap((part) => part.scores);
      return {
        epoch,
        reward: finiteMean(scores),
        prompts: examples.map(({ prompt }) => prompt),
        metadata: examples.map(({ metadata = {} }) => metadata),
        scores,
        details: joinDetails(scored),
        images: pixels,
        imageShape: [pixels.length / (imageShape[1]! * imageShape[2]! * 3), ...imageShape.slice(1)],
        seconds: (performance.now() - started) / 1000,
      };
    } finally {
      await Promise.allSettled(scoring);
      tree.dispose([steps, key]);
    }
  };

  return Object.assign(evaluate, {
    /** Inside of compileAhead: plans the first batch, and the last one where it is smaller. */
    plan(weights: Params): void {
      const steps = stackSteps(plan);
      const key = randomKey();
      for (const b of new Set([0, batches - 1])) {
        const images = drawBatch(weights, b, steps, key) as tf.Tensor4D;
        const from = b * batchSize;
        const prompts = examples.slice(from, from + images.shape[0]).map(({ prompt }) => prompt);
        scorer.plan?.(images, prompts);
        images.dispose();
      }
      tree.dispose([steps, key]);
    },
  });
}

/**
 * The distinct prompts of a batch, and which of them each of its images has. A batch that repeats prompts gets others of the
 * list besides, so that all batches have equally many and one executable serves them.
 */
function distinctPrompts(all: readonly string[]) {
  const known = [...new Set(all)];
  return (places: readonly number[], batchSize: number) => {
    const count = Math.min(batchSize, known.length);
    const own = [...new Set(places.map((i) => all[i]!))];
    const taken = new Set(own);
    const others = known.filter((prompt) => !taken.has(prompt)).slice(0, count - own.length);
    const prompts = [...own, ...others];
    return { prompts, rows: places.map((i) => prompts.indexOf(all[i]!)) };
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
