/** Where checkpoints of a run are kept: what a store has to offer. */
import type { GrpoConfig } from '../config/schema';
import type { DivergenceState } from '../divergence';
import type { Params } from '../policy';
import type { PromptRecords } from '../prompts/prompt-statistics';
import type { HackingState } from '../watch/hacking';

/** The part of a run that is not tensors. All randomness is a function of the seed and these counters. */
export interface RunState {
  /** Epochs done, i.e. the next epoch's number. */
  readonly epoch: number;
  /** Optimizer steps done. */
  readonly updates: number;
  readonly divergence: DivergenceState;
  readonly hacking: HackingState;
  /** What is known of each prompt. */
  readonly prompts: PromptRecords;
  readonly rollbacks: number;
}

/**
 * What a run is made of beside its configuration, each under a name as text that changes when it does: a file's size and
 * hash, a reward's name and options.
 */
export type SetupFingerprint = Readonly<Record<string, string>>;

/** What is saved. */
export interface Checkpoint {
  readonly run: RunState;
  readonly config: GrpoConfig;
  readonly setup: SetupFingerprint;
  /** Float32 tensors by part and name; they stay the caller's. */
  readonly parts: Readonly<Record<string, Params>>;
}

/** A checkpoint that is there. */
export interface CheckpointEntry {
  /** What {@link CheckpointStore.open} takes. */
  readonly name: string;
  /** Epochs done. */
  readonly epoch: number;
  /** Where it is, for messages. */
  readonly place: string;
}

/** A checkpoint opened for reading. */
export interface SavedCheckpoint {
  /** Where it is, for messages. */
  readonly place: string;
  readonly run: RunState;
  readonly config: GrpoConfig;
  readonly setup: SetupFingerprint;
  readonly parts: readonly string[];
  /**
   * The tensors of a part by name, the caller's own.
   *
   * @param upload puts a tensor where it belongs, one after the other, so that no device ever holds them all; the tensor it
   *   gets is its own
   * @throws {CheckpointStateError} when the part is damaged or missing
   */
  read(part: string, upload?: (value: Params[string], name: string) => Params[string]): Promise<Params>;
}

/** Keeps the checkpoints of one run. */
export interface CheckpointStore {
  /**
   * Takes the store for a run. Called before anything else; what it returns gives the store back.
   *
   * @throws {CheckpointStateError} when another run has it
   */
  acquire(): Promise<() => Promise<void>>;
  /** Puts in order what a killed process left half done. */
  recover(): Promise<void>;
  /** All complete checkpoints, oldest first. */
  list(): Promise<readonly CheckpointEntry[]>;
  /**
   * Writes a checkpoint whole or not at all, replaces one of the same epoch, and removes all but the newest `keep`.
   *
   * @throws {CheckpointStateError} when there is no room
   */
  save(checkpoint: Checkpoint, keep: number): Promise<void>;
  /** @throws {CheckpointStateError} when there is none of this name, or it cannot be read */
  open(name: string): Promise<SavedCheckpoint>;
  /**
   * Moves checkpoints of later epochs out of the way of a run that continues from `epoch`: they would be taken for the
   * newest, and the run's own removed before them.
   *
   * @returns where they are now; undefined when there were none.
   */
  archiveLaterCheckpoints(epoch: number): Promise<string | undefined>;
}

/** A checkpoint that cannot be used. */
export class CheckpointStateError extends Error {
  override readonly name = 'CheckpointStateError';
}
