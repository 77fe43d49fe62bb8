/** Which steps of a rollout are stochastic, and so trained, in each epoch. */

/** First stochastic step and the one after the last. */
export interface Window {
  readonly start: number;
  readonly end: number;
}

/**
 * How the window moves from epoch to epoch. Its size never changes, so compiled functions serve all epochs.
 */
export interface WindowStrategy {
  readonly size: number;
  /** A function of the epoch alone, so that a resumed run sees the same windows. `uniform` is in [0, 1). */
  at(epoch: number, uniform: number): Window;
}

/** The same steps in every epoch, e.g. 1 … 10 of 12 (Flow-GRPO). */
export function fixedWindow(start: number, end: number): WindowStrategy {
  return { size: end - start, at: () => ({ start, end }) };
}

/**
 * A window of `size` at a random place within `[start, end)`, drawn anew each epoch (Flow-GRPO-Fast:
 * sample.sde_window_size, sample.sde_window_range).
 */
export function randomWindow(size: number, start: number, end: number): WindowStrategy {
  return {
    size,
    at: (_epoch, uniform) => {
      const first = start + Math.floor(uniform * (end - start - size + 1));
      return { start: first, end: first + size };
    },
  };
}

/**
 * MixGRPO's window: it starts at the noisy end and moves by `stride` every `interval` epochs, then begins
 * again (arXiv 2507.21802, progressive strategy).
 */
export function slidingWindow(
  size: number,
  start: number,
  end: number,
  interval: number,
  stride: number,
): WindowStrategy {
  const places = Math.floor((end - start - size) / stride) + 1;
  return {
    size,
    at: (epoch) => {
      const first = start + (Math.floor(epoch / interval) % places) * stride;
      return { start: first, end: first + size };
    },
  };
}
