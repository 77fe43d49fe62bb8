import { threefry2x32 } from '../random/threefry';

/** The steps `start … start + size − 1`, for `stochasticSteps`. */
export function fixedWindow(start: number, size: number): number[] {
  if (!Number.isInteger(start) || start < 0) throw new RangeError(`a window cannot start at step ${start}`);
  if (!Number.isInteger(size) || size < 1) throw new RangeError(`a window has 1 step or more, not ${size}`);
  return Array.from({ length: size }, (_, i) => start + i);
}

export interface RandomWindowOptions {
  size: number;
  /** The steps [first, last] the window may cover, both included. */
  range: readonly [number, number];
  seed: number;
  /** Which draw of the seed: the iteration, or the iteration's group. */
  index: number;
}

/** Flow-GRPO-Fast: a window of `size` steps at a random place of the range, the same for the same seed and index. */
export function randomWindow({ size, range: [first, last], seed, index }: RandomWindowOptions): number[] {
  const places = last - first + 2 - size;
  if (!(places >= 1))
    throw new RangeError(`a window of ${size} steps does not fit in steps ${first} to ${last}`);
  const [word] = threefry2x32(seed, index, 0, 0);
  return fixedWindow(first + Math.floor((word / 2 ** 32) * places), size);
}

export interface SlidingWindowOptions {
  size: number;
  /** The steps [first, last] the window travels over, both included. */
  range: readonly [number, number];
  /** Training iterations at each place; MixGRPO calls it the shift interval. */
  every: number;
  /** Steps the window moves by; default 1. */
  stride?: number;
  /** At the end: 'restart' (default) at the first step, or 'stay'. */
  atEnd?: 'restart' | 'stay';
}

/** MixGRPO (arXiv 2507.21802): the window of an iteration, moving from noise towards data as training goes on. */
export function slidingWindow(
  { size, range: [first, last], every, stride = 1, atEnd = 'restart' }: SlidingWindowOptions,
  iteration: number,
): number[] {
  const room = last - first + 1 - size;
  if (!(room >= 0))
    throw new RangeError(`a window of ${size} steps does not fit in steps ${first} to ${last}`);
  if (!(every >= 1 && stride >= 1)) throw new RangeError('every and stride must be 1 or more');
  const places = Math.ceil(room / stride) + 1;
  const moves = Math.floor(iteration / every);
  const place = atEnd === 'stay' ? Math.min(moves, places - 1) : moves % places;
  return fixedWindow(first + Math.min(place * stride, room), size);
}
