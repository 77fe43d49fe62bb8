/** The sampling half of an epoch: rollouts dispatched one after the other, each scored while the next one runs. */
import { gatherSteps, stackSteps } from '@flow-grpo/sde-sampler';
import { jit, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { ScoredImages } from '../algorithms/algorithm';
import type { GrpoConfig } from '../config/schema';
import { createPauses, nextTask } from '../event-loop';
import { indices } from '../indices';
import { type PhaseTimer, phaseTimer } from '../phase-times';
import type { Placement } from '../placement';
import type { Params, Policy } from '../policy';
import { oneProcess, type ProcessGroup, type SharedSignal, sharedSignal } from '../process-group';
import type { Example, Scorer, Scores } from '../scorer';
import { decodeFunction, joinDetails, MAX_SCORING, scoreOwn } from '../scoring';
import type { FlopCounter } from '../utilisation';
import { imageStatistics } from '../watch/image-statistics';
import type { EpochPlan } from './epoch-plan';
import { type Rollout, rolloutFunction } from './rollout';
import type { EpochSamples } from './samples';

/** An epoch's samples with their rewards. */
export interface EpochBatch<C> extends EpochSamples, ScoredImages {
  readonly condition: C;
  /** The prompt of each image, by its place among the epoch's prompts. */
  readonly promptIndex: readonly number[];
  /** What `imageStatistics` gave for each rollout batch; none where they are not looked at. */
  readonly statistics: readonly tf.Tensor1D[];
  /** Where an image's records lie. */
  rowOf(image: number): number;
  dispose(): void;
}

/** What an update looks at of an epoch's images. */
export type UpdateBatch<C> = EpochSamples &
  Pick<EpochBatch<C>, 'condition' | 'rowOf' | 'promptIndex' | 'dropped'>;

export interface RolloutCall {
  /** What the processes that share the batch gather its scores under; one process needs none. */
  readonly name?: string;
  readonly signal?: AbortSignal | SharedSignal | undefined;
  /** Score a batch while the next one runs; true by default. */
  readonly overlap?: boolean;
  readonly timer?: PhaseTimer;
  /** Called when a batch has been handed to the device, for work that need not wait for it. */
  readonly meanwhile?: () => void;
  readonly onProgress?: (phase: 'rollout' | 'reward', done: number, total: number) => void;
}

/**
 * The function that draws the images of an epoch and has them scored. Images of a prompt follow one another.
 *
 * @throws what the scorer throws; an Error when it gives other than one finite reward per image; the signal's reason when
 *   it is aborted. Nothing is left behind then.
 */
export function createRollout<C, P>(
  policy: Policy<C, P>,
  scorer: Scorer,
  plan: EpochPlan,
  config: GrpoConfig,
  placement: Placement,
  flops: FlopCounter,
  group: ProcessGroup = oneProcess,
) {
  const { epochSize, batchSize, batches, groupInBatch, algorithm } = plan;
  const { samplesPerPrompt, sameLatent } = config.sampling;
  const needs = algorithm.rollout;
  const rollout = flops.count(rolloutFunction(policy, { epochSize, sameLatent, needs, placement }));
  const decode = flops.count(decodeFunction(policy, { placement, group }));
  const statisticsOf = jit(
    (images: tf.Tensor4D) => placement.replicate(imageStatistics(images, groupInBatch)),
    { name: 'imageStatistics' },
  );
  const rowOf = (image: number) => placement.rowOf(image, batchSize, epochSize);
  const promptIndex = Array.from({ length: epochSize }, (_, i) => Math.floor(i / samplesPerPrompt));

  /** What all batches of an epoch are drawn with. */
  const prepareDrawing = (
    weights: Params,
    examples: readonly Example[],
    window: readonly number[],
    key: tf.Tensor,
  ) => {
    const encoded = tree.tidy(() => policy.encodePrompts(examples.map(({ prompt }) => prompt)));
    const condition = placement.replicate(encoded);
    if (condition !== encoded) tree.dispose(encoded);
    const steps = stackSteps(plan.steps(window));
    const kept = needs.keep === 'latents' ? undefined : tf.tensor1d([...window], 'int32');
    return { weights, condition, steps, kept, key };
  };
  type Drawing = ReturnType<typeof prepareDrawing>;

  const promptsOf = (b: number) => promptIndex.slice(b * batchSize, (b + 1) * batchSize);

  /** Hands a batch to `call`, which is given all that the rollout takes. */
  const drawBatch = <R>(
    { weights, condition, steps, kept, key }: Drawing,
    b: number,
    call: (...args: Parameters<typeof rollout>) => R,
  ): R => {
    const from = b * batchSize;
    const samples = indices(from, from + batchSize);
    const rows = tf.tensor1d(promptsOf(b), 'int32');
    const batch = placement.shardBatch({ samples, rows });
    try {
      return call(weights, condition, batch, steps, kept, key);
    } finally {
      tree.dispose([samples, rows, batch]);
    }
  };

  /** What the update needs of all batches; they, and what drew them, are gone. */
  const joinBatches = (results: Rollout[], { steps, kept }: Drawing): EpochSamples => {
    const promptOfRow = new Int32Array(epochSize);
    for (const [i, prompt] of promptIndex.entries()) promptOfRow[rowOf(i)] = prompt;
    const samples: EpochSamples = {
      ...placement.join(results.splice(0)),
      promptOf: tf.tensor1d(promptOfRow, 'int32'),
      ...(kept && { steps: gatherSteps(steps, kept) }),
    };
    tree.dispose([steps, kept]);
    return samples;
  };

  const draw = async (
    weights: Params,
    examples: readonly Example[],
    window: readonly number[],
    key: tf.Tensor,
    { name = '', signal, overlap = true, timer = phaseTimer(), meanwhile, onProgress }: RolloutCall = {},
  ): Promise<EpochBatch<C>> => {
    const stop = sharedSignal(group, signal);
    const place = { placement, group, stop };
    const drawing = prepareDrawing(weights, examples, window, key);
    const { condition, steps, kept } = drawing;
    const results: Rollout[] = [];
    const scoring: Promise<Scores>[] = [];
    const statistics: tf.Tensor1D[] = [];

    /** Dispatches a batch, and hands its images to the scorer. */
    const start = async (b: number) => {
      const imagesReady = timer.startRollout();
      const prompts = promptsOf(b);
      const handedOver = drawBatch(drawing, b, rollout.async);
      meanwhile?.();
      const result = await handedOver;
      results.push(result);
      const images = decode(result.latents);
      if (config.hacking.action !== 'off') statistics.push(statisticsOf(images));
      const ready = whenComputed(images).finally(imagesReady);
      // A backend that computes at once is told from one that will, before the scorer keeps this thread busy.
      await Promise.race([ready, nextTask()]);
      const members = prompts.map((prompt) => examples[prompt]!);
      const named = `${name} batch ${b}`;
      const scores = scoreOwn(named, scorer, images, members, 'training', place).finally(async () => {
        await ready;
        images.dispose();
      });
      scores.catch(() => {}); // seen below; until then not unhandled
      scoring.push(scores);
    };

    const pause = createPauses();
    try {
      for (let b = 0; b < batches; b++) {
        const pending = overlap ? MAX_SCORING : 1;
        if (b >= pending) await scoring[b - pending];
        await pause();
        // Several processes end where they have gathered scores, all at the same place.
        if (group.numProcesses === 1) stop.signal?.throwIfAborted();
        onProgress?.('rollout', b, batches);
        await start(b);
      }
      const scored: Scores[] = [];
      for (const [b, pending] of scoring.entries()) {
        onProgress?.('reward', b, batches);
        scored.push(await pending);
      }
      timer.rewardsDone();
      const rewards = scored.flatMap(({ scores }) => scores);
      const samples = joinBatches(results, drawing);
      return {
        ...samples,
        condition,
        rowOf,
        prompts: promptIndex.map((i) => examples[i]!.prompt),
        promptIndex,
        rewards,
        dropped: rewards.map(Number.isNaN),
        details: joinDetails(scored),
        ...(scorer.weights && { weights: scorer.weights }),
        statistics,
        dispose: () => tree.dispose([samples, condition, statistics]),
      };
    } catch (error) {
      await Promise.allSettled(scoring);
      tree.dispose([condition, steps, kept, results, statistics]);
      throw error;
    }
  };

  return Object.assign(draw, {
    /** Inside of compileAhead: plans what the function does, and gives what the update is planned with. */
    plan(
      weights: Params,
      examples: readonly Example[],
      window: readonly number[],
      key: tf.Tensor,
    ): UpdateBatch<C> {
      const drawing = prepareDrawing(weights, examples, window, key);
      const results: Rollout[] = [];
      for (let b = 0; b < batches; b++) {
        const result = drawBatch(drawing, b, rollout);
        results.push(result);
        if (b > 0) continue;
        const prompts = promptsOf(b);
        const images = decode(result.latents);
        firstValue(images).dispose();
        if (config.hacking.action !== 'off') statisticsOf(images).dispose();
        const members = prompts.map((prompt) => examples[prompt]!.prompt);
        scorer.plan?.(images, members);
        images.dispose();
      }
      const samples = joinBatches(results, drawing);
      const dropped = promptIndex.map(() => false);
      return { ...samples, condition: drawing.condition, rowOf, promptIndex, dropped };
    },
  });
}

/** A number of a tensor, still on the device. */
const firstValue = (tensor: tf.Tensor): tf.Tensor =>
  tf.tidy(() =>
    tf.slice(
      tensor,
      tensor.shape.map(() => 0),
      tensor.shape.map(() => 1),
    ),
  );

/** Settles when a tensor's values are there, of which one is read. */
async function whenComputed(tensor: tf.Tensor): Promise<void> {
  const one = firstValue(tensor);
  await one.data().catch(() => {}); // the scorer's own read says what is wrong
  one.dispose();
}
