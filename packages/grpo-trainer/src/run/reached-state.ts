/** What a run has reached, and its checkpoints: where it starts, what it saves, and what it goes back to. */
import { tree } from '@flow-grpo/tfjs-jit';
import { partsOf } from '../checkpoint/restore';
import type { CheckpointEntry, RunState } from '../checkpoint/store';
import type { TrainOptions } from '../train-options';
import { isWhole, movingCopies, type TrainState } from '../update/state';
import { checkpointToResume, type StateSource, startingState } from './starting-state';

export interface ReachedState {
  /** Weights and what belongs to them. */
  readonly state: TrainState;
  /** Epochs done, and what they told. */
  readonly run: RunState;
  /** Whether the weights are those after `run.epoch` epochs: an update that ended, or failed on the way, is beyond it. */
  isCurrent(): boolean;
  /** Takes what an update made of the weights; its epoch is not counted as done yet. */
  setUpdated(state: TrainState): void;
  /** Counts an epoch as done. */
  advance(run: Omit<RunState, 'epoch' | 'rollbacks'>): void;
  /** Saves a checkpoint, once per epoch; without a store nothing happens. */
  save(): Promise<void>;
  /** The checkpoint that a run with so many good epochs goes back to, if there is one. */
  rollbackTarget(goodEpochs?: number): Promise<CheckpointEntry | undefined>;
  /** Goes back to a checkpoint, with half the learning rate. */
  rollBackTo(checkpoint: CheckpointEntry): Promise<void>;
}

/**
 * The state of a run that starts or resumes. Checkpoints of later epochs are moved out of the way.
 *
 * @throws {CheckpointStateError} when the checkpoint does not fit the run
 */
export async function reachedState(
  source: StateSource,
  {
    resume = false,
    onMessage,
    onProgress,
  }: Pick<TrainOptions<never, never>, 'resume' | 'onMessage' | 'onProgress'>,
): Promise<ReachedState> {
  const { config, copies, setup, store } = source;
  const resumeFrom = store && (await checkpointToResume(store, resume));
  let { state, run } = await startingState(source, resumeFrom);
  let savedEpoch = resumeFrom === undefined ? -1 : run.epoch;
  let stateEpoch = run.epoch; // epochs that the weights have seen
  if (resumeFrom !== undefined) onMessage?.(`Resumed after epoch ${run.epoch} (${run.updates} updates)`);
  const archive = await store?.archiveLaterCheckpoints(run.epoch);
  if (archive) onMessage?.(`Checkpoints of later epochs are now in ${archive}`);

  const save = async () => {
    if (!store || savedEpoch === run.epoch) return;
    onProgress?.({ phase: 'checkpoint', epoch: run.epoch, done: 0, total: 1 });
    const kept = { ...state, copies: movingCopies(copies, state.copies) };
    await store.save({ run, config, setup, parts: partsOf(kept) }, config.keepCheckpoints);
    savedEpoch = run.epoch;
  };

  return {
    get state() {
      return state;
    },
    get run() {
      return run;
    },
    isCurrent: () => isWhole(state) && stateEpoch === run.epoch,
    setUpdated(updated) {
      state = updated;
      stateEpoch = run.epoch + 1;
    },
    advance(told) {
      run = { ...run, ...told, epoch: run.epoch + 1 };
    },
    save,
    async rollbackTarget(goodEpochs = run.epoch) {
      const known = (await store?.list()) ?? [];
      return known.filter(({ epoch }) => epoch <= goodEpochs).at(-1) ?? known[0];
    },
    async rollBackTo({ name }) {
      tree.dispose(state);
      const rollbacks = run.rollbacks + 1;
      const back = await startingState(source, name);
      state = back.state;
      run = { ...back.run, rollbacks };
      stateEpoch = run.epoch;
      await store!.archiveLaterCheckpoints(run.epoch);
      savedEpoch = -1;
      await save(); // so that a kill now does not forget the halved learning rate
    },
  };
}
