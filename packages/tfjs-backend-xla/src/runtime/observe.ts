/** Who wants to know what runs when: profilers. */
import type { PjrtBuffer } from '@flow-grpo/pjrt';

/** One run of a compiled program. Times are milliseconds of `performance.now()`. */
export interface Execution {
  /** Of the jitted function, or of the kernel outside of one. */
  readonly name: string;
  /** Floating-point operations of a jitted function, of all devices together; absent for a kernel outside of one. */
  readonly flops?: number;
  /** When it was handed to XLA. */
  readonly start: number;
  /** When the thread was free again; the program may have only begun, or be on its way from another thread. */
  readonly dispatched: number;
  /**
   * When its results were there, as far as the host could see; a program that failed ends here too. A GPU takes about a
   * thousand launches ahead, so handing over a long program holds up the host until that is nearly through: those before
   * it were over, at the latest, about when that began.
   */
  readonly done: Promise<number>;
}

/** A program that is not known to be done. */
interface Running {
  readonly start: number;
  latest: number;
}

/** Milliseconds for which no host is busy with handing over alone. */
const HELD_UP = 5;

type Listener = (execution: Execution) => void;

const listeners = new Set<Listener>();
const running = new Set<Running>();

/**
 * Tells `listener` of every program that runs from now on, until the returned function is called. Nothing waits: the
 * programs of a device run one after the other, so one that is done at `d` ran from the later of its own start and its
 * predecessor's `d`.
 */
export function observeExecutions(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/**
 * Runs `execute`, telling the listeners; costs nothing without any.
 *
 * @param queued Whether the device takes launches ahead and makes the host wait when there are too many.
 * @param flops of a jitted function
 */
export function observed(
  name: string,
  execute: () => PjrtBuffer[][],
  queued: () => boolean,
  flops?: number,
): PjrtBuffer[][] {
  if (listeners.size === 0) return execute();
  const start = performance.now();
  const rows = execute();
  tell({ name, start, dispatched: performance.now(), flops }, rows, queued);
  return rows;
}

/** The same for a program of a device that is handed over on another thread. */
export async function observedAsync(
  name: string,
  execute: () => Promise<PjrtBuffer[][]>,
  flops?: number,
): Promise<PjrtBuffer[][]> {
  if (listeners.size === 0) return execute();
  const start = performance.now();
  const handedOver = execute();
  const dispatched = performance.now();
  const rows = await handedOver;
  tell({ name, start, dispatched, flops }, rows, () => true);
  return rows;
}

function tell(
  { flops, ...begun }: Pick<Execution, 'name' | 'start' | 'dispatched'> & { flops: number | undefined },
  rows: readonly PjrtBuffer[][],
  queued: () => boolean,
): void {
  const { start, dispatched } = begun;
  if (performance.now() - start > HELD_UP && queued())
    for (const other of running) if (other.start <= start) other.latest = Math.min(other.latest, start);
  const own: Running = { start, latest: Number.POSITIVE_INFINITY };
  running.add(own);
  // Small programs on a CPU are done before this returns: their time is known at once, not when promises are looked at.
  const ready = rows.flatMap(([first]) => (first ? [first.ready().catch(() => performance.now())] : []));
  const done = Promise.all(ready).then((times) => {
    running.delete(own);
    return Math.max(dispatched, Math.min(own.latest, Math.max(...times)));
  });
  for (const listener of listeners) listener({ ...begun, ...(flops !== undefined && { flops }), done });
}
