/** Where the seconds of an epoch go. */

/**
 * Seconds of an epoch, which they partition: every moment counts once.
 *
 * - `secondsRollout`: images were being made: from the dispatch of a batch until its images were there. Rewards of earlier
 *   batches that were computed meanwhile do not count.
 * - `secondsReward`: rewards alone were waited for.
 * - `secondsUpdate`: from the last reward to the end of the last optimizer step on the device.
 */
export interface PhaseSeconds {
  readonly secondsRollout: number;
  readonly secondsReward: number;
  readonly secondsUpdate: number;
}

/** A clock in milliseconds. */
export type Clock = () => number;

export interface PhaseTimer {
  /** A batch is about to be dispatched; what it returns is to be called when its images are there. */
  startRollout(): () => void;
  /** The last reward is there. */
  rewardsDone(): void;
  /** The epoch is over; phases add up to `seconds`. */
  finish(): PhaseSeconds & { readonly seconds: number };
}

/** Starts with the epoch. What comes before the first batch, such as encoding prompts, belongs to the rollout. */
export function phaseTimer(now: Clock = () => performance.now()): PhaseTimer {
  const started = now();
  let underWay = 1; // encoding, until the first batch
  let encoding = true;
  let since = started;
  let rollout = 0;
  let scored: number | undefined;
  const leave = () => {
    underWay--;
    if (underWay === 0) rollout += now() - since;
  };
  return {
    startRollout() {
      if (underWay === 0) since = now();
      underWay++;
      if (encoding) leave();
      encoding = false;
      let over = false;
      return () => {
        if (!over) leave();
        over = true;
      };
    },
    rewardsDone() {
      scored = now();
    },
    finish() {
      const ended = now();
      const [total, sampling] = [ended - started, (scored ?? ended) - started];
      return {
        secondsRollout: rollout / 1000,
        secondsReward: (sampling - rollout) / 1000,
        secondsUpdate: (total - sampling) / 1000,
        seconds: total / 1000,
      };
    },
  };
}
