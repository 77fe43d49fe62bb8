/** The learning half of an epoch: shuffled passes over its images, gradients summed, AdamW, averages. */
import { random, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { PassRows } from '../algorithms/pass';
import type { GrpoConfig } from '../config/schema';
import type { Placement } from '../devices';
import { adamWScalars } from '../maths/adamw';
import { emaDecay, emaDue } from '../maths/ema';
import { learningRateAt } from '../maths/learning-rate';
import type { Params, Policy } from '../policy';
import { randomAt } from '../random';
import type { EpochBatch } from '../rollout/create-rollout';
import type { EpochPlan } from '../rollout/epoch-plan';
import type { FlopCounter } from '../utilisation';
import { copyRates, createCopyMover } from './copies';
import { gradientSum, type Measured, type PassValues } from './gradient-sum';
import { optimizerStep } from './optimizer-step';
import { type PlannedPass, planUpdates } from './plan';
import { overPasses, overUpdates, stepStatistics } from './reduce';
import type { TrainState } from './state';

export interface UpdateCall {
  readonly epoch: number;
  /** Optimizer steps done before. */
  readonly updates: number;
  /** Factor on the learning rate (halved by rollbacks). */
  readonly lrScale: number;
  /** The epoch's random key. */
  readonly key: tf.Tensor;
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

/** Keys of gradient passes lie beyond those of rollout steps in the epoch's stream. */
const PASS_STREAM = 0x10000;

/**
 * The function that trains on an epoch's samples; its executables are compiled on first use.
 *
 * When it throws, nothing of its own is left behind; the given state is as it was if no optimizer step was made, and gone
 * otherwise (see `isWhole`).
 */
export function createUpdate<C, P>(
  policy: Policy<C, P>,
  plan: EpochPlan,
  config: GrpoConfig,
  placement: Placement,
  flops: FlopCounter,
) {
  const { training, ema, seed } = config;
  const { algorithm } = plan;
  const copies = algorithm.copies ?? {};
  const reductions = { loss: 'mean' as const, ...algorithm.metrics };
  const names = Object.keys(reductions) as (keyof typeof reductions)[];
  const { sum, measure } = gradientSum(policy, plan, placement, flops);
  const step = flops.count(optimizerStep(training, placement));
  const moveAfterEpoch = createCopyMover(copies);

  const learningRateOf = (done: number, { lrScale }: UpdateCall) =>
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

  return async (
    start: TrainState,
    batch: EpochBatch<C>,
    advantages: Float64Array,
    call: UpdateCall,
  ): Promise<UpdateResult> => {
    let state = start;
    const values: (PassValues & { readonly update: number })[] = [];
    const norms: tf.Tensor[] = [];
    let learningRate: number | undefined;
    const { condition, records, latents, promptOf, steps, dropped, promptIndex } = batch;
    const samples = { records, latents, promptOf, steps };
    const units = algorithm.units.select({ advantages, dropped, promptIndex });
    const rowsOf = ({ samples: index, weights }: PlannedPass, pass: number, update: number): PassRows => {
      const host = {
        rows: tf.tensor1d(index.map(batch.rowOf), 'int32'),
        weights: tf.tensor1d(weights as number[]),
        advantages: tf.tensor1d(index.map((i) => advantages[i]!)),
      };
      const rows = {
        rows: placement.replicate(host.rows),
        ...placement.shardBatch({ weights: host.weights, advantages: host.advantages }),
        onPolicy: tf.scalar(update === 0 ? 1 : 0),
        key: random.foldIn(call.key, PASS_STREAM + pass),
      };
      tree.dispose(host, rows);
      return rows;
    };
    const updatesPlanned = Array.from({ length: training.innerEpochs }, (_, inner) =>
      planUpdates(units, randomAt(seed, 2, call.epoch, inner), {
        updates: training.updatesPerEpoch,
        rows: plan.rowsPerPass,
        devices: placement.perDevice ? placement.devices : 1,
        dropped,
      }),
    ).flat();
    let passes = 0;
    const updateParts = updatesPlanned.map((planned, update) =>
      planned.map((pass) => {
        const number = passes++;
        return () => rowsOf(pass, number, update);
      }),
    );
    let before: Measured[][] = [];
    const inputs = () => ({ trained: state.trained, copies: state.copies, condition, samples });
    try {
      // Of all updates but the first, which the weights that made the samples take: there is no change to compare with.
      if (algorithm.measure) before = updateParts.slice(1).map((parts) => measure(inputs(), parts));
      for (const [update, parts] of updateParts.entries()) {
        call.onProgress?.(update, updateParts.length);
        const done = call.updates + update;
        const changes =
          update === 0
            ? noChanges(before[0], parts.length)
            : before[update - 1] && changesSince(before[update - 1]!, measure(inputs(), parts));
        const summed = releasing(changes, () => sum(inputs(), parts, changes));
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
      const perUpdate = Object.fromEntries(
        names.map((name, column) => [
          name,
          gradNorm.map((_, u) =>
            overPasses(
              reductions[name],
              rows.filter(({ update }) => update === u).map(({ row }) => row[column]!),
            ),
          ),
        ]),
      );
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
}

/** Changes of an epoch's first update: none, of the shapes that those of later updates have. */
function noChanges(like: readonly Measured[] | undefined, passes: number): Measured[] | undefined {
  const first = like?.[0];
  return first && Array.from({ length: passes }, () => first.map((each) => tree.map(each, zerosAlike)));
}

/** What was measured now, less what was measured before; disposes of the former. */
function changesSince(before: readonly Measured[], now: readonly Measured[]): Measured[] {
  return tree.zip([now, before] as [Measured[], Measured[]], ([after, start]) => {
    const change = tf.sub(after!, start!);
    after!.dispose();
    return change;
  });
}

const zerosAlike = (value: tf.Tensor) => tf.tidy(() => tf.sub(value, value));

/** What `f` gives; `used` is disposed of after it. */
function releasing<R>(used: unknown, f: () => R): R {
  try {
    return f();
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
