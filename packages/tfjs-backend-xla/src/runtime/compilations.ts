/** Programs that are being made now: who wants to know, and what calls have waited for them. */
type Listener = (names: readonly string[]) => void;

const listeners = new Set<Listener>();
/** How many programs of each name. */
const underWay = new Map<string, number>();
let waited = 0;

/**
 * Tells `listener` the names of the programs being compiled or loaded whenever they change, until the returned function is
 * called.
 */
export function observeCompilations(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Seconds that calls of this process have waited for programs: blocked by tracing and compiling, reads of the cache included. */
export const compileSeconds = (): number => waited / 1000;

/** Counts the time of `work` as waiting. */
export function waiting<T>(work: () => T): T {
  const start = performance.now();
  try {
    return work();
  } finally {
    waited += performance.now() - start;
  }
}

function change(name: string, by: 1 | -1): void {
  const count = (underWay.get(name) ?? 0) + by;
  if (count > 0) underWay.set(name, count);
  else underWay.delete(name);
  const names = [...underWay.keys()];
  for (const listener of listeners) listener(names);
}

/** Makes a program of this name, blocking. */
export function making<T>(name: string, work: () => T): T {
  change(name, 1);
  try {
    return work();
  } finally {
    change(name, -1);
  }
}

/** Waits until one of `limit` places is free, in order. */
export function places(limit: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = limit;
  const queue: (() => void)[] = [];
  return async (work) => {
    if (free === 0) await new Promise<void>((resolve) => queue.push(resolve));
    else free--;
    try {
      return await work();
    } finally {
      const next = queue.shift();
      if (next) next();
      else free++;
    }
  };
}

/** The same as `making`, for work that does not block. */
export async function makingAsync<T>(name: string, work: () => Promise<T>): Promise<T> {
  change(name, 1);
  try {
    return await work();
  } finally {
    change(name, -1);
  }
}
