/** The learning half of an epoch: shuffled passes over its images, gradients summed, AdamW, averages. */
import { tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { ConfiguredAlgorithm } from '../algorithms/algorithm';
import type { GrpoConfig } from '../config/schema';
import { atOnce, createPauses, withPauses } from '../event-loop';
import { adamWScalars } from '../maths/adamw';
import { emaDecay, emaDue } from '../maths/ema';
import { learningRateAt } from '../maths/learning-rate';
import type { Placement } from '../placement';
import type { Params, Policy } from '../policy';
import type { EpochBatch, UpdateBatch } from '../rollout/create-rollout';
import type { EpochPlan } from '../rollout/epoch-plan';
import type { FlopCounter } from '../utilisation';
import { changesSince, type Measured, noChanges } from './changes';
import { copyRates, createCopyMover } from './copies';
import { gradientSum, type PassValues } from './gradient-sum';
import { optimizerStep } from './optimizer-step';
import { epochPasses } from './passes';
import { overUpdates, perUpdateMetrics, stepStatistics } from './reduce';
import { copyTensor, type TrainState } from './state';

export interface UpdateCall {
  readonly epoch: number;
  /** Optimizer steps done before. */
  readonly updates: number;
  /** Factor on the learning rate (halved by rollbacks). */
  readonly lrScale: number;
  /** The epoch's random key. */
  readonly key: tf.Tensor;
  /** Ends the update, as long as no optimizer step was made. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface UpdateResult {
  /** The new state; the old one is gone. */
  readonly state: TrainState;
  /** Optimizer steps; 0 where no image had anything to say. */
  readonly updates: number;
  /** Of the last step; undefined without any. */
  readonly learningRate: number | undefined;
  /** One number per optimizer step. */
  readonly perUpdate: Readonly<Record<string, readonly number[]>>;
  /** The loss, the algorithm's metrics and gradNorm, one number each; empty without any step. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** An update is planned with as many passes at most: two share what is prepared, as all do. */
export const PLANNED_PASSES = 2;

/**
 * The function that trains on an epoch's samples; its executables are compiled on first use.
 *
 * When it throws, nothing of its own is left behind; the given state is as it was if no optimizer step was made, and gone
 * otherwise (see `isWhole`).
 *
 * @throws the signal's reason where it was aborted before the first optimizer step.
 */
export function createUpdate<C, P>(
  policy: Policy<C, P>,
  plan: EpochPlan,
  config: GrpoConfig,
  placement: Placement,
  flops: FlopCounter,
) {
  const { training, ema } = config;
  const { algorithm } = plan;
  const copies = algorithm.copies ?? {};
  const reductions = { loss: 'mean' as const, ...algorithm.metrics };
  const names = Object.keys(reductions) as (keyof typeof reductions)[];
  const { sum, measure } = gradientSum(policy, plan, placement, flops);
  const step = flops.count(optimizerStep(training, placement));
  const moveAfterEpoch = createCopyMover(copies);

  const learningRateOf = (done: number, { lrScale }: Pick<UpdateCall, 'lrScale'>) =>
    lrScale *
    learningRateAt(training.learningRate, done, {
      kind: training.schedule,
      warmupSteps: training.warmupSteps,
      totalSteps: plan.totalUpdates,
      decayFrom: training.decayFrom,
      floor: training.scheduleFloor,
    });

  /** Clips, steps, averages; the given state and gradients are gone. */
  const stepOptimizer = (state: TrainState, gradients: Params, done: number, learningRate: number) => {
    const moves = !ema.enabled || emaDue(done, ema.interval);
    const scalars = adamWScalars(learningRate, done + 1, training);
    // Without averaging the "average" follows the weights, so that one state serves both.
    const emaRate = tf.scalar(moves ? 1 - (ema.enabled ? emaDecay(done, ema.decay) : 0) : 0);
    const shares = copyRates(copies, 'update', done);
    const rates = Object.fromEntries(Object.entries(shares).map(([name, rate]) => [name, tf.scalar(rate)]));
    const moving = Object.fromEntries(Object.keys(rates).map((name) => [name, state.copies[name]!]));
    const given = { ...state, copies: moving };
    try {
      const stepped = step(given, gradients, scalars, emaRate, rates);
      tree.dispose(given);
      return {
        state: { ...stepped.state, copies: { ...state.copies, ...stepped.state.copies } },
        norm: stepped.norm,
      };
    } finally {
      tree.dispose([gradients, scalars, emaRate, rates]);
    }
  };

  const update = async (
    start: TrainState,
    batch: EpochBatch<C>,
    advantages: Float64Array,
    call: UpdateCall,
  ): Promise<UpdateResult> => {
    let state = start;
    const values: (PassValues & { readonly update: number })[] = [];
    const norms: tf.Tensor[] = [];
    let learningRate: number | undefined;
    const { condition, records, latents, promptOf, steps } = batch;
    const samples = { records, latents, promptOf, steps };
    const { units, updates: passesOfUpdates } = epochPasses(plan, config, placement, batch, advantages, call);
    const before: Measured[][] = [];
    const inputs = () => ({ trained: state.trained, copies: state.copies, condition, samples });
    const turn = createPauses();
    const pause = async () => {
      await turn();
      if (norms.length === 0) call.signal?.throwIfAborted();
    };
    try {
      // Of all updates but the first, which the weights that made the samples take: there is no change to compare with.
      if (algorithm.measure) {
        for (const passes of passesOfUpdates.slice(1)) {
          before.push(await withPauses(measure(inputs(), passes), pause));
        }
      }
      for (const [update, passes] of passesOfUpdates.entries()) {
        await pause();
        call.onProgress?.(update, passesOfUpdates.length);
        const done = call.updates + update;
        const changes =
          update === 0
            ? noChanges(before[0], passes.length)
            : before[update - 1] &&
              changesSince(before[update - 1]!, await withPauses(measure(inputs(), passes), pause));
        const summed = await releasing(changes, () => withPauses(sum(inputs(), passes, changes), pause));
        for (const each of summed.values) values.push({ ...each, update });
        learningRate = learningRateOf(done, call);
        const stepped = stepOptimizer(state, summed.gradients, done, learningRate);
        state = stepped.state;
        norms.push(stepped.norm);
      }
      const updates = norms.length;
      state = {
        ...state,
        copies: moveAfterEpoch(state.copies, state.trained, call.updates + updates),
      };
      const gradNorm = (await Promise.all(norms.map((norm) => norm.data()))).map((row) => row[0]!);
      const rows = await Promise.all(
        values.map(async ({ row, ...pass }) => ({ ...pass, row: await row.data() })),
      );
      const perUpdate = perUpdateMetrics(rows, updates, reductions);
      const metrics = names.map((name) => [name, overUpdates(reductions[name], perUpdate[name]!)]);
      refuseZeroGradient(gradNorm, advantages, units, start, call.epoch);
      return {
        state,
        updates,
        learningRate,
        perUpdate: { ...perUpdate, gradNorm },
        metrics:
          updates === 0
            ? {}
            : {
                ...Object.fromEntries(metrics),
                ...stepStatistics(rows, names.length, algorithm.perStep ?? []),
                gradNorm: overUpdates('mean', gradNorm),
              },
      };
    } catch (error) {
      if (norms.length > 0) tree.dispose(state);
      throw error;
    } finally {
      tree.dispose([values.map(({ row }) => row), norms, before]);
    }
  };

  return Object.assign(update, {
    /** Inside of compileAhead: plans the programs of an update like those of this epoch. */
    plan(start: TrainState, batch: UpdateBatch<C>, call: Pick<UpdateCall, 'epoch' | 'key'>): void {
      const state = tree.map(start, copyTensor); // a step takes it along
      const { condition, records, latents, promptOf, steps, promptIndex } = batch;
      const samples = { records, latents, promptOf, steps };
      const inputs = { trained: state.trained, copies: state.copies, condition, samples };
      const advantages = likelyAdvantages(algorithm, promptIndex);
      const { updates: passesOfUpdates } = epochPasses(plan, config, placement, batch, advantages, call);
      const passes = passesOfUpdates[0]?.slice(0, PLANNED_PASSES) ?? [];
      const before =
        algorithm.measure && passesOfUpdates.length > 1 ? atOnce(measure(inputs, passes)) : undefined;
      tree.dispose(noChanges(before, passes.length) ?? []);
      const changes = before && changesSince(before, atOnce(measure(inputs, passes)));
      const { gradients, values } = atOnce(sum(inputs, passes, changes));
      const stepped = stepOptimizer(state, gradients, 0, learningRateOf(0, { lrScale: 1 }));
      const copies = moveAfterEpoch(stepped.state.copies, stepped.state.trained, 1);
      tree.dispose([before, changes, values.map(({ row }) => row), stepped.norm, stepped.state, copies]);
    },
  });
}

/** Advantages of images of which each is better than those before it: all kinds of units find members. */
function likelyAdvantages(algorithm: ConfiguredAlgorithm, promptIndex: readonly number[]): Float64Array {
  const [prompts, rewards] = [promptIndex.map(String), promptIndex.map((_, i) => i)];
  const dropped = promptIndex.map(() => false);
  try {
    return algorithm.advantages({ prompts, rewards, dropped, details: {} }).advantages;
  } catch {
    // One that compares what a scorer tells besides.
    return Float64Array.from(promptIndex, (_, i) => (i % 2 === 0 ? 1 : -1));
  }
}

/** What `f` gives; `used` is disposed of after it. */
async function releasing<R>(used: unknown, f: () => Promise<R>): Promise<R> {
  try {
    return await f();
  } finally {
    tree.dispose(used);
  }
}

/** Advantages below it may vanish in float32, as where all rewards of a group underflow. */
const NEGLIGIBLE = 1e-6;

/**
 * A gradient of exactly 0 in an epoch's first update, though images have advantages, is no gradient: with the weights that
 * made the images no ratio is clipped yet. A backend without some operation's gradient gives such zeros.
 */
function refuseZeroGradient(
  [first]: readonly number[],
  advantages: Float64Array,
  units: readonly (readonly number[])[],
  { trained }: TrainState,
  epoch: number,
): void {
  const images = units.flat().filter((i) => Math.abs(advantages[i]!) > NEGLIGIBLE).length;
  if (first !== 0 || images === 0) return;
  throw new Error(
    `The gradient of all ${Object.keys(trained).length} weights that train is exactly 0 in epoch ${epoch}, though ${images} images have an advantage other than 0: nothing would be learned. Look at what the policy's velocity does with its trained weights (a constant in their place, an operation without a gradient on backend ${tf.getBackend()}), and try another backend.`,
  );
}
