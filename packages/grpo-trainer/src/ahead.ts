/** The programs of a run, compiled in the background before they are needed. */
import { compileAhead, compileSeconds, hasCompiler } from '@flow-grpo/tfjs-jit';

export interface Ahead {
  /**
   * Waits until the programs of a part are compiled, as far as they could be foreseen; those that could not are compiled
   * where they are called, which also tells what is wrong with one that does not compile.
   *
   * @throws the signal's reason when it is aborted
   */
  compiled(part: string): Promise<void>;
  /** Plans the parts that were put off, if they are not planned yet. */
  planRest(): void;
  /** Seconds that the run has waited for programs since this was asked last. */
  takeSeconds(): number;
  /** Nothing more will be planned. */
  end(): void;
}

export interface AheadOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * How many parts are planned at once; all by default. Planning takes the thread a second for a large model: the other parts
   * are put off until the device is busy (`planRest`), or until the first ones turn out to be compiled and not read from disk.
   */
  readonly plannedFirst?: number;
  /** Milliseconds after which programs of the first parts are taken to be compiled, not read. */
  readonly patience?: number;
  /** Called when all parts are planned, or none of the others will be. */
  readonly onEnd?: () => void;
}

/** Programs that are on disk are read within this. */
const READING_MS = 400;

/**
 * Plans parts of a run, in this order: each function runs once, with nothing computed (see compileAhead). What they make is
 * gone when all have run, so that one may go on from what another made.
 */
export function planAhead(
  parts: Readonly<Record<string, () => void>>,
  { signal, plannedFirst = Number.POSITIVE_INFINITY, patience = READING_MS, onEnd }: AheadOptions = {},
): Ahead {
  const ready = new Map<string, Promise<void>>();
  const entries = hasCompiler() ? Object.entries(parts) : [];
  let rest = entries.slice(plannedFirst);
  let hasEnded = false;
  let waited = 0;
  let before = compileSeconds();
  let timer: ReturnType<typeof setTimeout> | undefined;

  const planAll = (some: typeof entries) => {
    for (const [name, plan] of some) {
      let compiled: Promise<void>;
      try {
        compiled = compileAhead(plan, signal ? { signal } : {}).then(() => {});
      } catch {
        continue; // a policy that reads values: its programs are compiled when they are called
      }
      compiled.catch(() => {});
      ready.set(name, compiled);
    }
  };
  const end = () => {
    clearTimeout(timer);
    rest = [];
    if (!hasEnded) onEnd?.();
    hasEnded = true;
  };
  const planRest = () => {
    if (hasEnded) return;
    if (!signal?.aborted) planAll(rest);
    end();
  };

  planAll(entries.slice(0, plannedFirst));
  if (rest.length === 0) end();
  else {
    timer = setTimeout(planRest, patience);
    void Promise.allSettled(ready.values()).then(() => clearTimeout(timer));
  }
  return {
    async compiled(part) {
      if (rest.some(([name]) => name === part)) planRest();
      const compiled = ready.get(part);
      if (!compiled) return;
      const start = performance.now();
      try {
        await compiled;
      } catch {
        signal?.throwIfAborted();
      } finally {
        ready.delete(part);
        waited += (performance.now() - start) / 1000;
      }
    },
    planRest,
    takeSeconds() {
      const [own, now] = [waited, compileSeconds()];
      const seconds = own + now - before;
      waited = 0;
      before = now;
      return seconds;
    },
    end,
  };
}
