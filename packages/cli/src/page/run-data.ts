/** What the page knows of a run: plain JSON, made by `readRun` from the run's folder. */
import type { Histogram } from '../logging/histogram';
import type { Outcome } from '../logging/outcome';

/** The first images of an evaluation, one below the other in one file. */
export interface SampleData {
  /** Address of the file, relative to the page. */
  readonly file: string;
  /** Pixels of one image in the file. */
  readonly width: number;
  readonly height: number;
  /** By place in the run's prompts. */
  readonly prompts: readonly number[];
  readonly rewards: readonly (number | null)[];
  /** How far each image is from the first evaluation's, root mean square over values in [0, 1]. */
  readonly changes?: readonly (number | null)[];
}

export interface EvaluationData {
  readonly epoch: number;
  readonly reward: number | null;
  readonly details: Readonly<Record<string, number | null>>;
  readonly samples?: SampleData;
  /** Every evaluated image: its prompt, by place in the run's prompts, and its reward. */
  readonly scores?: { readonly prompts: readonly number[]; readonly rewards: readonly (number | null)[] };
}

/** Histograms of some epochs, of all where they are few. */
export interface HistogramData {
  readonly epoch: number;
  readonly advantages: Histogram | null;
  readonly rewards: Histogram | null;
}

export interface RunData {
  /** The last part of its folder's name. */
  readonly name: string;
  /** Epochs that it is meant to have; null where nobody says. */
  readonly plannedEpochs: number | null;
  /** Its configuration as text, without paths of the machine. */
  readonly config: string | null;
  /** What the watch on reward hacking says; null where there are no statistics of images to look at. */
  readonly hacking: readonly string[] | null;
  /** How it ended; null while it is under way, and where nobody kept it. */
  readonly outcome: Outcome | null;
  /** One column per number of an epoch, all of one length; null where an epoch lacks it. `epoch` is always there. */
  readonly metrics: Readonly<Record<string, readonly (number | null)[]>>;
  readonly prompts: readonly string[];
  /** What sort of prompt each one is, where the data set says. */
  readonly kinds: readonly (string | null)[];
  readonly evaluations: readonly EvaluationData[];
  readonly histograms: readonly HistogramData[];
}

/** The end of a run that an open page has seen the beginning of. */
export interface RunNews extends RunData {
  /** Metrics and evaluations from this epoch on; what the page has of it and later epochs is out of date. */
  readonly from: number;
}

/** What a live page is told. */
export interface LiveData {
  readonly runs: readonly RunNews[];
}

/** Images that a person is to compare. */
export interface QuestionData {
  readonly key: string;
  readonly prompt: string;
  /** The images, one below the other. */
  readonly file: string;
  readonly width: number;
  readonly height: number;
  readonly count: number;
}

/** What waits for a person. */
export interface QuestionsData {
  readonly waiting: number;
  readonly answered: number;
  /** The first of those that wait. */
  readonly questions: readonly QuestionData[];
}

/** A page gets its runs by this name, from scripts that stand before its own. */
export const FROZEN_RUNS = 'flowGrpoRuns';

export interface FrozenWindow {
  [FROZEN_RUNS]?: RunData[];
}
