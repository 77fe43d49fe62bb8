/** Who wants to know what runs when: profilers. */
import type { PjrtBuffer } from '@flow-grpo/pjrt';

/** One run of a compiled program. Times are milliseconds of `performance.now()`. */
export interface Execution {
  /** Of the jitted function, or of the kernel outside of one. */
  readonly name: string;
  /** When it was handed to XLA. */
  readonly start: number;
  /** When that returned; the program may have only begun. */
  readonly dispatched: number;
  /** When its results were there; a program that failed ends here too. */
  readonly done: Promise<number>;
}

type Listener = (execution: Execution) => void;

const listeners = new Set<Listener>();

/**
 * Tells `listener` of every program that runs from now on, until the returned function is called. Nothing waits: the
 * programs of a device run one after the other, so one that is done at `d` ran from the later of its own start and its
 * predecessor's `d`.
 */
export function observeExecutions(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Runs `execute`, telling the listeners; costs nothing without any. */
export function observed(name: string, execute: () => PjrtBuffer[][]): PjrtBuffer[][] {
  if (listeners.size === 0) return execute();
  const start = performance.now();
  const rows = execute();
  const dispatched = performance.now();
  // Small programs on a CPU are done before this returns: their time is known at once, not when promises are looked at.
  const ready = rows.flatMap(([first]) => (first ? [first.ready().catch(() => performance.now())] : []));
  const done = Promise.all(ready).then((times) => Math.max(dispatched, ...times));
  for (const listener of listeners) listener({ name, start, dispatched, done });
  return rows;
}
