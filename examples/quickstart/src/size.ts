/** How long a run is, by what it computes on. */
import { deviceInfo, hasCompiler } from '@flow-grpo/tfjs-jit';

/** Minutes of training in which a laptop, or a GPU, learns most of what it will. */
const MINUTES = { cpu: 8, gpu: 1 } as const;

/** Images of held-out prompts, before and after: compiled, and where each operation runs by itself. */
const EVALUATION = { compiled: 480, uncompiled: 24 } as const;

/** Minutes that a whole run takes where nothing is compiled, evaluations included. */
const WHOLE_MINUTES = 15;

/** A training image costs about this much of an evaluation's: as many steps, and the gradients of four of them. */
const TRAINING_COST = 1.6;

export const defaultEvalPrompts = (): number => (hasCompiler() ? EVALUATION.compiled : EVALUATION.uncompiled);

/** What is known once the first evaluation is over. */
export interface Measured {
  /** Seconds since the program began. */
  readonly elapsed: number;
  /** Seconds that the evaluation took; another one follows after training. */
  readonly evaluation: number;
  /** Images that it drew. */
  readonly images: number;
}

export interface TrainingTime {
  readonly minutes: number;
  /** Training images to expect, where compilation does not blur the measurement. */
  readonly images?: number;
}

/** How long to train on what the backend runs on. */
export function trainingTime({ elapsed, evaluation, images }: Measured): TrainingTime {
  if (hasCompiler()) return { minutes: deviceInfo()[0]!.platform === 'cpu' ? MINUTES.cpu : MINUTES.gpu };
  const seconds = Math.max(60, 60 * WHOLE_MINUTES - elapsed - evaluation);
  return { minutes: seconds / 60, images: Math.round((seconds * images) / (evaluation * TRAINING_COST)) };
}

export interface TrainingClock {
  /** Aborts when the time is over. */
  readonly signal: AbortSignal;
  /** Counts an epoch that is over; says how much is left. */
  tick(): string;
}

/**
 * Compiled, the time begins after the first epoch, which compiles. Otherwise it begins at once, and no epoch begins that
 * would not end in time.
 *
 * @param now milliseconds, for tests
 */
export function trainingClock(
  { minutes }: { readonly minutes: number },
  compiled = hasCompiler(),
  now: () => number = () => performance.now(),
): TrainingClock {
  const over = new AbortController();
  let started = compiled ? undefined : now();
  let ended = now();
  return {
    signal: over.signal,
    tick() {
      const epoch = compiled ? 0 : (now() - ended) / 60_000;
      ended = now();
      started ??= now();
      const left = minutes - (now() - started) / 60_000;
      if (left <= epoch) over.abort();
      return `${Math.max(0, left).toFixed(1)} minutes left`;
    },
  };
}
