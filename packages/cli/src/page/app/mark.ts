import type { RunData } from '../run-data';

/** What tells whether a page's epoch is still the run's: a run that is rolled back draws it anew. The last epoch by default. */
export function markOf({ metrics }: RunData, place = (metrics.epoch?.length ?? 0) - 1): string | undefined {
  if (place < 0) return undefined;
  return ['epoch', 'reward', 'seconds'].map((name) => metrics[name]?.[place] ?? '').join(' ');
}
