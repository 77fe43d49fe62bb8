/** The state that a run starts from, or goes back to: that of a checkpoint, or a new one. */
import { tree } from '@flow-grpo/tfjs-jit';
import type { WeightCopy } from '../algorithms/algorithm';
import { restoreState } from '../checkpoint/restore';
import type { CheckpointStore, RunState, SetupFingerprint } from '../checkpoint/store';
import type { GrpoConfig } from '../config/schema';
import { initialDivergenceState } from '../divergence';
import type { Placement } from '../placement';
import type { Params, Policy } from '../policy';
import { initialCopies, initialOptimizerState, placedWeights, type TrainState } from '../update/state';
import { initialHackingState } from '../watch/hacking';

export interface StateSource {
  readonly policy: Pick<Policy, 'params' | 'trainable' | 'untrained'>;
  readonly config: GrpoConfig;
  readonly copies: Readonly<Record<string, WeightCopy>>;
  readonly placement: Placement;
  readonly setup: SetupFingerprint;
  readonly allowChanged: readonly string[];
  readonly store: CheckpointStore | undefined;
}

const freshRun: RunState = {
  epoch: 0,
  updates: 0,
  divergence: initialDivergenceState,
  hacking: initialHackingState,
  prompts: {},
  rollbacks: 0,
};

/**
 * @param checkpoint name of one in the store; a new state without it
 * @throws {CheckpointStateError} when the checkpoint does not fit the run
 */
export async function startingState(
  { policy, config, copies, placement, setup, allowChanged, store }: StateSource,
  checkpoint?: string,
): Promise<{ state: TrainState; run: RunState }> {
  const { trainable } = policy;
  const shapes = shapesOf(policy.params);
  const saved =
    checkpoint === undefined
      ? undefined
      : await restoreState(await store!.open(checkpoint), config, {
          placement,
          trainable,
          shapes,
          setup,
          allowChanged,
        });
  let start: Params | undefined;
  const placed = () => (start ??= placedWeights(policy, placement));
  const state = saved?.state ?? { ...initialOptimizerState(placed()), copies: {} };
  const all = { ...state, copies: initialCopies(copies, policy, placed, state.copies) };
  if (start) tree.dispose(start);
  return { state: all, run: saved?.run ?? freshRun };
}

/** Puts the store in order, and chooses the checkpoint that a run resumes from. */
export async function checkpointToResume(
  store: CheckpointStore,
  resume: string | false,
): Promise<string | undefined> {
  await store.recover();
  if (resume !== 'auto') return resume || undefined;
  return (await store.list()).at(-1)?.name;
}

const shapesOf = (params: Params) =>
  Object.fromEntries(Object.entries(params).map(([name, { shape }]) => [name, shape]));
