/** A run under way: its state, and the steps of the loop as functions with names. */
import { observeCompilations, tree } from '@flow-grpo/tfjs-jit';
import type { AnyAlgorithm } from '../algorithms/algorithm';
import { checkedPolicy } from '../checked-policy';
import { CheckpointStateError } from '../checkpoint/store';
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
import { createRollout, type EpochBatch } from '../rollout/create-rollout';
import { createSampler } from '../rollout/dynamic-sampling';
import { epochPlan } from '../rollout/epoch-plan';
import { asScorer, withEvalRewards } from '../scorer';
import { tidyCallbacks } from '../tidy-callbacks';
import type { TrainOptions, TrainResult } from '../train-options';
import { createUpdate, type UpdateResult } from '../update/create-update';
import { drawingWeights, evaluatedWeights, isWhole } from '../update/state';
import { currentPeakTflops, flopCounter, utilisation } from '../utilisation';
import { readImageStatistics } from '../watch/image-statistics';
import { createVelocityProbe } from '../watch/velocity-probe';
import { checkRun } from './check-run';
import { createEpochs, type Epoch } from './epoch';
import { planRun } from './plan-run';
import { reachedState } from './reached-state';
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
  const plan = epochPlan(config, options.algorithm);
  const { algorithm } = plan;
  const scorer = asScorer(options.scorer);
  const placement = placementOn(config.devices, config);
  const { group = oneProcess } = options;
  checkRun({ config, plan, prompts, scorer, placement, group, onMessage });
  placement.splitFrozen(policy.params);
  const stop = sharedSignal(group, options.signal);
  const { signal } = stop;
  const reached = await reachedState(
    {
      ...{ policy, config, placement, store },
      copies: algorithm.copies ?? {},
      setup: options.setup ?? {},
      allowChanged: options.allowChanged ?? [],
    },
    options,
  );

  const flops = flopCounter();
  const peakTflops = options.peakTflops ?? currentPeakTflops();
  const rollout = createRollout(policy, scorer, plan, config, placement, flops, group);
  const sampleEpoch = createSampler(policy, rollout, config, placement);
  const updateState = createUpdate(policy, plan, config, placement, flops);
  const watches = config.divergence.action !== 'off' || config.hacking.action !== 'off';
  const probe = watches ? createVelocityProbe(policy, plan, placement) : undefined;
  /** The weights that training started from; several devices have them where the algorithm keeps a copy. */
  const reference = () =>
    reached.state.copies.reference ??
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

  // What is traced before the first epoch is part of it, unless an evaluation comes between.
  let firstTimer: PhaseTimer | undefined = phaseTimer();
  const stopObserving = options.onCompile && observeCompilations(options.onCompile);
  const functions = { epochs, rollout, update: updateState, probe, evaluator };
  const ahead = planRun(functions, reached, plan, config, reference, flops, signal);

  const finish = (reason: TrainResult['reason'], problem?: string): TrainResult => {
    stopObserving?.();
    ahead.end();
    epochs.dispose();
    const { optimizer, copies, trained, ema } = reached.state;
    tree.dispose([optimizer, copies]);
    const { epoch, updates } = reached.run;
    return { reason, ...(problem !== undefined && { problem }), epochs: epoch, updates, trained, ema };
  };

  return {
    config,
    algorithm,
    save: reached.save,
    finish,
    /** Epochs done. */
    get epoch() {
      return reached.run.epoch;
    },
    get interrupted() {
      return signal?.aborted ?? false;
    },

    beginEpoch() {
      const { run } = reached;
      const epoch = epochs.begin(run.epoch, run.prompts, firstTimer);
      firstTimer = undefined;
      return epoch;
    },

    /** Draws the epoch's images and has them scored. */
    async sample(epoch: Epoch<C>): Promise<EpochBatch<C>> {
      await ahead.compiled('rollout');
      const { images, groups } = await withOutOfMemoryHint(
        'a lower sampling.batchSize',
        sampleEpoch(drawingWeights(algorithm, reached.state), epoch.candidates, epoch.window, epoch.key, {
          name: `epoch ${epoch.number}`,
          signal: stop,
          overlap: options.overlapRewards ?? true,
          timer: epoch.timer,
          meanwhile: ahead.planRest,
          onProgress: (phase, done, total) => onProgress?.({ phase, epoch: epoch.number, done, total }),
        }),
      );
      epoch.images = images;
      epoch.groups = groups;
      epoch.known = recordPrompts(reached.run.prompts, epoch.number, groups);
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
      // If a compilation breaks into the recording of its CUDA graph, a program that takes its arguments' memory cannot be repeated.
      await ahead.compiled('evaluation');
      const { state, run } = reached;
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
            // Several processes compute one program: none of them may leave alone.
            signal: group.numProcesses === 1 ? signal : undefined,
            onProgress: (done, total) => onProgress?.({ phase: 'update', epoch: epoch.number, done, total }),
          }),
        );
        reached.setUpdated(result.state);
        const velocity =
          measuring && (await withOutOfMemoryHint(WITHOUT_WATCHES, measuring.finish(result.state.trained)));
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
        updatesBefore: reached.run.updates,
        images: statistics.length > 0 ? readImageStatistics(statistics) : {},
        velocity: result.velocity,
        times,
        secondsCompile: ahead.takeSeconds(),
        utilisation: utilisation(flops.take(), times.seconds, config.devices, peakTflops),
      });
      const { rewards } = images;
      const known = epoch.known ?? reached.run.prompts;
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
          run: reached.run,
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
      const target = await reached.rollbackTarget(verdict.goodEpochs);
      if (action === 'stop' || !store || !target || reached.run.rollbacks >= maxRollbacks) return false;
      onMessage?.(`${happened(verdict)} Rolling back to ${target.name} with half the learning rate.`);
      await reached.rollBackTo(target);
      return true;
    },

    /** What a verdict means for whoever started the run. */
    async problemOf(verdict: EpochVerdict): Promise<string> {
      return problemOf(verdict, (await reached.rollbackTarget(verdict.goodEpochs))?.place);
    },

    /** Has all processes know whether one of them was told to end. */
    agree: () => stop.ask(`after epoch ${reached.run.epoch}`),

    /** Counts the epoch as done. */
    advance(
      { known = reached.run.prompts }: Epoch<C>,
      { updates }: UpdateResult,
      { state: divergence, hacking }: EpochVerdict,
    ): void {
      reached.advance({ updates: reached.run.updates + updates, divergence, hacking, prompts: known });
    },

    async evaluate(): Promise<void> {
      if (!evaluator || signal?.aborted) return;
      firstTimer = undefined;
      await ahead.compiled('evaluation');
      const { state, run } = reached;
      const weights = evaluatedWeights(config, state);
      const evaluation = await withOutOfMemoryHint(
        'a lower evalBatchSize',
        evaluator(weights, run.epoch, onProgress, stop),
      );
      await options.onEvaluation?.(evaluation);
    },

    /**
     * Ends a run that something was thrown in, after a checkpoint of the epochs done where the weights are still those; before the
     * first there is nothing that a start would not make again.
     *
     * @throws the error, unless it is the abort of the run's signal
     */
    async endBy(error: unknown): Promise<TrainResult> {
      const interrupted = isAbort(error, signal);
      let thrown = error;
      try {
        // A checkpoint that could not be written is not tried again, and several processes only write one together.
        const together = group.numProcesses === 1 || interrupted;
        const kept = reached.run.epoch > 0 && reached.isCurrent();
        if (together && kept && !(error instanceof CheckpointStateError)) await reached.save();
      } catch (second) {
        if (interrupted) thrown = second;
        else onMessage?.(`No checkpoint could be written either: ${(second as Error).message}`);
      }
      if (interrupted && thrown === error && isWhole(reached.state)) {
        return finish(reached.run.epoch < config.epochs ? 'interrupted' : 'finished');
      }
      stopObserving?.();
      ahead.end();
      epochs.dispose();
      tree.dispose(reached.state);
      throw thrown;
    },
  };
}

const WITHOUT_WATCHES = 'divergence.action and hacking.action off';
