/** A run's programs, compiled in the background while others run already. */
import { tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { type Ahead, planAhead } from '../ahead';
import type { GrpoConfig } from '../config/schema';
import type { createEvaluator } from '../evaluate';
import type { Params } from '../policy';
import type { createRollout, UpdateBatch } from '../rollout/create-rollout';
import type { EpochPlan } from '../rollout/epoch-plan';
import type { createUpdate } from '../update/create-update';
import { drawingWeights, evaluatedWeights } from '../update/state';
import type { FlopCounter } from '../utilisation';
import type { createVelocityProbe } from '../watch/velocity-probe';
import type { createEpochs } from './epoch';
import type { ReachedState } from './reached-state';

/** What a run calls. */
export interface RunFunctions<C> {
  readonly epochs: ReturnType<typeof createEpochs<C>>;
  readonly rollout: ReturnType<typeof createRollout<C, unknown>>;
  readonly update: ReturnType<typeof createUpdate<C, unknown>>;
  readonly probe: ReturnType<typeof createVelocityProbe<C, unknown>> | undefined;
  readonly evaluator: ReturnType<typeof createEvaluator<C, unknown>> | undefined;
}

/**
 * Compiles what a run will call, those programs first that are needed first. What comes after the first rollouts is planned
 * while these run, if their programs are there.
 *
 * @param reference the weights that the probe compares with
 */
export function planRun<C>(
  { epochs, rollout, update, probe, evaluator }: RunFunctions<C>,
  { state, run }: Pick<ReachedState, 'state' | 'run'>,
  { algorithm }: EpochPlan,
  config: GrpoConfig,
  reference: () => Params | undefined,
  flops: Pick<FlopCounter, 'uncounted'>,
  signal: AbortSignal | undefined,
): Ahead {
  if (run.epoch >= config.epochs) return planAhead({});
  const epoch = epochs.begin(run.epoch, run.prompts);
  const { window, key } = epoch;
  const examples = epoch.candidates.slice(0, config.sampling.promptsPerEpoch);
  let drawn: UpdateBatch<C> | undefined;
  const evaluation = evaluator && {
    evaluation: () => evaluator.plan(evaluatedWeights(config, state)),
  };
  const first = { ...(run.epoch === 0 && evaluation) };
  const parts: Record<string, () => void> = {
    ...first,
    rollout() {
      drawn = rollout.plan(drawingWeights(algorithm, state), examples, window, key);
      for (const tensor of tensorsOf(drawn)) tf.keep(tensor);
    },
    update() {
      if (!drawn) return;
      update.plan(state, drawn, { epoch: epoch.number, key });
      // Reads what has no values at its end, which fails, when all is planned.
      probe?.(drawn, state.trained, reference(), key)
        .finish(state.trained)
        .catch(() => {});
    },
    ...(run.epoch > 0 && evaluation),
  };
  const uncounted = Object.entries(parts).map(([name, plan]) => [name, () => flops.uncounted(plan)]);
  return planAhead(Object.fromEntries(uncounted), {
    signal,
    plannedFirst: Object.keys(first).length + 1,
    onEnd() {
      if (drawn) tf.dispose(tensorsOf(drawn));
      epoch.dispose();
    },
  });
}

/** The tensors of what an update looks at. */
const tensorsOf = <C>({ condition, records, latents, promptOf, steps }: UpdateBatch<C>): tf.Tensor[] =>
  tree.leaves([condition, records, latents, promptOf, steps]);
