import { setMaxListeners } from 'node:events';
import type { LimitFunction } from 'p-limit';

/**
 * Runs a task for each item, results in the order of the items. The first failure, or `signal`, aborts the
 * signal that all tasks get; those that still wait in `limit` do not start.
 */
export async function mapConcurrent<T, R>(
  items: readonly T[],
  task: (item: T, index: number, signal: AbortSignal) => Promise<R>,
  { signal, limit }: { signal?: AbortSignal; limit?: LimitFunction } = {},
): Promise<R[]> {
  const failed = new AbortController();
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  setMaxListeners(0, either); // every task under way listens
  const started = async (item: T, index: number) => {
    either.throwIfAborted();
    return task(item, index, either);
  };
  try {
    return await Promise.all(
      items.map((item, index) =>
        (limit ? limit(started, item, index) : started(item, index)).catch((error: unknown) => {
          failed.abort(error);
          throw error;
        }),
      ),
    );
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
