/** A run under way: its state, and the steps of the loop as functions with names. */
import { observeCompilations, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { type Ahead, planAhead } from '../ahead';
import type { AnyAlgorithm } from '../algorithms/algorithm';
import { checkedPolicy } from '../checked-policy';
import { partsOf } from '../checkpoint/restore';
import { type CheckpointEntry, CheckpointStateError } from '../checkpoint/store';
import { resolveConfig } from '../config/resolve';
import { placementOn } from '../devices';
import { type EpochMetrics, epochMetrics } from '../epoch-metrics';
import { createEvaluator } from '../evaluate';
import { isAbort } from '../interruption';
import type { Advantages } from '../maths/advantages';
import { withOutOfMemoryHint } from '../out-of-memory';
import { type PhaseTimer, phaseTimer } from '../phase-times';
import { trainableParams } from '../policy';
import { oneProcess, sharedSignal } from '../process-group';
import { promptStatistics, recordPrompts } from '../prompts/prompt-statistics';
import { createRollout, type EpochBatch, type UpdateBatch } from '../rollout/create-rollout';
import { createSampler } from '../rollout/dynamic-sampling';
import { epochPlan } from '../rollout/epoch-plan';
import { asScorer, withEvalRewards } from '../scorer';
import { tidyCallbacks } from '../tidy-callbacks';
import type { TrainOptions, TrainResult } from '../train-options';
import { createUpdate, type UpdateResult } from '../update/create-update';
import { drawingWeights, isWhole, movingCopies } from '../update/state';
import { currentPeakTflops, flopCounter, utilisation } from '../utilisation';
import { readImageStatistics } from '../watch/image-statistics';
import { createVelocityProbe } from '../watch/velocity-probe';
import { checkRun } from './check-run';
import { createEpochs, type Epoch } from './epoch';
import { checkpointToResume, startingState } from './starting-state';
import { type EpochVerdict, happened, judgeEpoch, problemOf, type WatchedUpdate } from './verdict';

/**
 * Prepares a run: checks its configuration, makes or reads its state, and creates the functions that it will call.
 *
 * @throws as `train` says
 */
export async function startRun<C, P, A extends AnyAlgorithm>(given: TrainOptions<C, P, A>) {
  const options = { ...given, ...tidyCallbacks(given) };
  const { prompts, store, onMessage, onProgress } = options;
  const policy = checkedPolicy(options.policy);
  const config = resolveConfig(options.config ?? {}, options.algorithm);
  const { promptsPerEpoch } = config.sampling;
  const plan = epochPlan(config, options.algorithm);
  const { algorithm } = plan;
  const scorer = asScorer(options.scorer);
  const copies = algorithm.copies ?? {};
  const placement = placementOn(config.devices, config);
  const { group = oneProcess } = options;
  checkRun({ config, plan, prompts, scorer, placement, group, onMessage });
  placement.splitFrozen(policy.params);
  const stop = sharedSignal(group, options.signal);
  const { signal } = stop;
  const setup = options.setup ?? {};

  const stateOf = (checkpoint?: string) =>
    startingState(
      { policy, config, copies, placement, setup, allowChanged: options.allowChanged ?? [], store },
      checkpoint,
    );
  const resumeFrom = store && (await checkpointToResume(store, options.resume ?? false));
  let { state, run } = await stateOf(resumeFrom);
  let savedEpoch = resumeFrom === undefined ? -1 : run.epoch;
  let stateEpoch = run.epoch; // epochs that the weights have seen
  if (resumeFrom !== undefined) onMessage?.(`Resumed after epoch ${run.epoch} (${run.updates} updates)`);
  const archive = await store?.archiveLaterCheckpoints(run.epoch);
  if (archive) onMessage?.(`Checkpoints of later epochs are now in ${archive}`);

  const flops = flopCounter();
  const peakTflops = options.peakTflops ?? currentPeakTflops();
  const rollout = createRollout(policy, scorer, plan, config, placement, flops, group);
  const sampleEpoch = createSampler(policy, rollout, config, placement);
  const updateState = createUpdate(policy, plan, config, placement, flops);
  const watches = config.divergence.action !== 'off' || config.hacking.action !== 'off';
  const probe = watches ? createVelocityProbe(policy, plan, placement) : undefined;
  /** The weights that training started from; several devices have them where the algorithm keeps a copy. */
  const reference = () =>
    state.copies.reference ??
    policy.untrained ??
    (config.devices === 1 ? trainableParams(policy, (value) => value) : undefined);
  const evaluator =
    options.evalPrompts &&
    createEvaluator(
      policy,
      withEvalRewards(scorer, options.evalRewards),
      options.evalPrompts,
      config,
      placement,
      group,
    );
  const epochs = createEpochs<C>(config, plan, prompts);

  /** Compiles all programs in the background, those that are needed first before the others. */
  const planRun = (): Ahead => {
    if (run.epoch >= config.epochs) return planAhead({});
    const epoch = epochs.begin(run.epoch, run.prompts);
    const { window, key } = epoch;
    const examples = epoch.candidates.slice(0, promptsPerEpoch);
    let drawn: UpdateBatch<C> | undefined;
    const evaluation = evaluator && {
      evaluation: () => evaluator.plan(config.ema.enabled ? state.ema : state.trained),
    };
    const ahead = planAhead(
      {
        ...(run.epoch === 0 && evaluation),
        rollout() {
          drawn = rollout.plan(drawingWeights(algorithm, state), examples, window, key);
          for (const tensor of tensorsOf(drawn)) tf.keep(tensor);
        },
        update() {
          if (!drawn) return;
          updateState.plan(state, drawn, { epoch: epoch.number, key });
          // Reads what has no values at its end, which fails, when all is planned.
          probe?.(drawn, state.trained, reference(), key)
            .finish(state.trained)
            .catch(() => {});
        },
        ...(run.epoch > 0 && evaluation),
      },
      signal,
    );
    if (drawn) tf.dispose(tensorsOf(drawn));
    epoch.dispose();
    flops.take();
    return ahead;
  };
  // What is traced before the first epoch is part of it, unless an evaluation comes between.
  let firstTimer: PhaseTimer | undefined = phaseTimer();
  const stopObserving = options.onCompile && observeCompilations(options.onCompile);
  const ahead = planRun();

  const save = async () => {
    if (!store || savedEpoch === run.epoch) return;
    onProgress?.({ phase: 'checkpoint', epoch: run.epoch, done: 0, total: 1 });
    const kept = { ...state, copies: movingCopies(copies, state.copies) };
    await store.save({ run, config, setup, parts: partsOf(kept) }, config.keepCheckpoints);
    savedEpoch = run.epoch;
  };

  /** Whether the state is that after `run.epoch` epochs: an update that ended, or failed on the way, is beyond it. */
  const isCurrent = () => isWhole(state) && stateEpoch === run.epoch;

  /** The checkpoint that a run which diverged goes back to. */
  const rollbackTarget = async (goodEpochs: number): Promise<CheckpointEntry | undefined> => {
    const known = (await store?.list()) ?? [];
    return known.filter(({ epoch }) => epoch <= goodEpochs).at(-1) ?? known[0];
  };

  const finish = (reason: TrainResult['reason'], problem?: string): TrainResult => {
    stopObserving?.();
    epochs.dispose();
    tree.dispose([state.optimizer, state.copies]);
    const { trained, ema } = state;
    return {
      reason,
      ...(problem !== undefined && { problem }),
      epochs: run.epoch,
      updates: run.updates,
      trained,
      ema,
    };
  };

  return {
    config,
    algorithm,
    save,
    finish,
    /** Epochs done. */
    get epoch() {
      return run.epoch;
    },
    get interrupted() {
      return signal?.aborted ?? false;
    },

    beginEpoch() {
      const epoch = epochs.begin(run.epoch, run.prompts, firstTimer);
      firstTimer = undefined;
      return epoch;
    },

    /** Draws the epoch's images and has them scored. */
    async sample(epoch: Epoch<C>): Promise<EpochBatch<C>> {
      await ahead.compiled('rollout');
      const { images, groups } = await withOutOfMemoryHint(
        'a lower sampling.batchSize',
        sampleEpoch(drawingWeights(algorithm, state), epoch.candidates, epoch.window, epoch.key, {
          name: `epoch ${epoch.number}`,
          signal: stop,
          overlap: options.overlapRewards ?? true,
          timer: epoch.timer,
          onProgress: (phase, done, total) => onProgress?.({ phase, epoch: epoch.number, done, total }),
        }),
      );
      epoch.images = images;
      epoch.groups = groups;
      epoch.known = recordPrompts(run.prompts, epoch.number, groups);
      if (images.dropped.every(Boolean)) {
        throw new Error(
          `Scorer ${scorer.name} dropped all ${images.dropped.length} images of epoch ${epoch.number}`,
        );
      }
      return images;
    },

    /** Optimizer steps on the epoch's images; the weights' average and copies move with them. */
    async update(epoch: Epoch<C>, images: EpochBatch<C>, { advantages }: Advantages): Promise<WatchedUpdate> {
      await ahead.compiled('update');
      const measuring =
        probe &&
        (await withOutOfMemoryHint(
          WITHOUT_WATCHES,
          (async () => probe(images, state.trained, reference(), epoch.key))(),
        ));
      try {
        const result = await withOutOfMemoryHint(
          'a lower training.batchSize or training.stepsPerPass',
          updateState(state, images, advantages, {
            epoch: epoch.number,
            updates: run.updates,
            lrScale: 0.5 ** run.rollbacks,
            key: epoch.key,
            onProgress: (done, total) => onProgress?.({ phase: 'update', epoch: epoch.number, done, total }),
          }),
        );
        state = result.state;
        stateEpoch = epoch.number + 1;
        const velocity =
          measuring && (await withOutOfMemoryHint(WITHOUT_WATCHES, measuring.finish(state.trained)));
        return { ...result, velocity: velocity ?? {} };
      } finally {
        measuring?.dispose();
      }
    },

    async report(
      epoch: Epoch<C>,
      images: EpochBatch<C>,
      advantages: Advantages,
      result: WatchedUpdate,
    ): Promise<EpochMetrics> {
      const statistics = await Promise.all(images.statistics.map((batch) => batch.data()));
      const times = epoch.timer.finish();
      const metrics = epochMetrics({
        epoch: epoch.number,
        windowStart: epoch.window[0],
        scored: images,
        promptsDrawn: epoch.groups?.length ?? 0,
        advantages,
        result,
        updatesBefore: run.updates,
        images: statistics.length > 0 ? readImageStatistics(statistics) : {},
        velocity: result.velocity,
        times,
        secondsCompile: ahead.takeSeconds(),
        utilisation: utilisation(flops.take(), times.seconds, config.devices, peakTflops),
      });
      const { rewards } = images;
      const known = epoch.known ?? run.prompts;
      await options.onEpoch?.(metrics, {
        rewards,
        advantages: advantages.advantages,
        prompts: () => promptStatistics(known),
      });
      return metrics;
    },

    /** Whether the run diverged, or its reward is being hacked. Warnings go to `onMessage`. */
    check(metrics: EpochMetrics, result: WatchedUpdate): EpochVerdict {
      const { velocity } = result;
      return judgeEpoch(
        {
          config,
          run,
          metrics,
          result,
          latentSize: policy.latentShape.reduce((product, size) => product * size, 1),
          moves:
            algorithm.rollout.sampler === 'ode'
              ? { velocityChange: velocity.velocityChange, velocityKl: velocity.velocityKl }
              : { stepKl: velocity.stepKl },
        },
        (message) => onMessage?.(message),
      );
    },

    /** Goes back to the last good checkpoint, with half the learning rate; false where the run must end instead. */
    async rollBack(verdict: EpochVerdict): Promise<boolean> {
      const { action } = verdict.reason === 'hacked' ? config.hacking : config.divergence;
      const { maxRollbacks } = config.divergence;
      const target = await rollbackTarget(verdict.goodEpochs ?? run.epoch);
      if (action === 'stop' || !store || !target || run.rollbacks >= maxRollbacks) return false;
      onMessage?.(`${happened(verdict)} Rolling back to ${target.name} with half the learning rate.`);
      tree.dispose(state);
      const rollbacks = run.rollbacks + 1;
      const back = await stateOf(target.name);
      state = back.state;
      run = { ...back.run, rollbacks };
      stateEpoch = run.epoch;
      await store.archiveLaterCheckpoints(run.epoch);
      savedEpoch = -1;
      await save(); // so that a kill now does not forget the halved learning rate
      return true;
    },

    /** What a verdict means for whoever started the run. */
    async problemOf(verdict: EpochVerdict): Promise<string> {
      return problemOf(verdict, (await rollbackTarget(verdict.goodEpochs ?? run.epoch))?.place);
    },

    /** Has all processes know whether one of them was told to end. */
    agree: () => stop.ask(`after epoch ${run.epoch}`),

    /** Counts the epoch as done. */
    advance(
      { known = run.prompts }: Epoch<C>,
      { updates }: UpdateResult,
      { state: divergence, hacking }: EpochVerdict,
    ): void {
      const updatesDone = run.updates + updates;
      run = { ...run, epoch: run.epoch + 1, updates: updatesDone, divergence, hacking, prompts: known };
    },

    async evaluate(): Promise<void> {
      if (!evaluator || signal?.aborted) return;
      firstTimer = undefined;
      await ahead.compiled('evaluation');
      const weights = config.ema.enabled ? state.ema : state.trained;
      const evaluation = await withOutOfMemoryHint(
        'a lower evalBatchSize',
        evaluator(weights, run.epoch, onProgress, stop),
      );
      await options.onEvaluation?.(evaluation);
    },

    /**
     * Ends a run that something was thrown in, after a checkpoint of the epochs done where the weights are still those.
     *
     * @throws the error, unless it is the abort of the run's signal
     */
    async endBy(error: unknown): Promise<TrainResult> {
      const interrupted = isAbort(error, signal);
      let thrown = error;
      try {
        // A checkpoint that could not be written is not tried again, and several processes only write one together.
        const together = group.numProcesses === 1 || interrupted;
        if (together && isCurrent() && !(error instanceof CheckpointStateError)) await save();
      } catch (second) {
        if (interrupted) thrown = second;
        else onMessage?.(`No checkpoint could be written either: ${(second as Error).message}`);
      }
      if (interrupted && thrown === error && isWhole(state)) {
        return finish(run.epoch < config.epochs ? 'interrupted' : 'finished');
      }
      stopObserving?.();
      epochs.dispose();
      tree.dispose(state);
      throw thrown;
    },
  };
}

/** The tensors of what an update looks at. */
const tensorsOf = <C>({ condition, records, latents, promptOf, steps }: UpdateBatch<C>): tf.Tensor[] =>
  tree.leaves([condition, records, latents, promptOf, steps]);

const WITHOUT_WATCHES = 'divergence.action and hacking.action off';
