/** What to train, with which options, into which folder: a run file, or its equivalent in code. */
import type { AnyAlgorithm } from '@flow-grpo/grpo-trainer/algorithms';
import type { RunFile } from '../run-file/schema';
import type { SetupChoice } from '../run-file/setup-schema';

/** A run file, or its equivalent in code. */
export interface TrainingRun extends Omit<RunFile, 'setup'> {
  readonly setup: SetupChoice | CodeSetup;
  /** In place of the one that the configuration names. */
  readonly algorithm?: AnyAlgorithm | undefined;
}

/** The parts of a run that are values of a program, not options of a file. */
export interface CodeSetup {
  readonly kind: 'code';
}
