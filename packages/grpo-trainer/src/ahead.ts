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
  /** Seconds that the run has waited for programs since this was asked last. */
  takeSeconds(): number;
}

/**
 * Plans parts of a run, in this order: each function runs once, with nothing computed (see compileAhead). What they make is
 * gone when all have run, so that one may go on from what another made.
 */
export function planAhead(parts: Readonly<Record<string, () => void>>, signal?: AbortSignal): Ahead {
  const ready = new Map<string, Promise<void>>();
  let waited = 0;
  let before = compileSeconds();
  if (hasCompiler()) {
    for (const [name, plan] of Object.entries(parts)) {
      let compiled: Promise<void>;
      try {
        compiled = compileAhead(plan, signal ? { signal } : {}).then(() => {});
      } catch {
        continue; // a policy that reads values: its programs are compiled when they are called
      }
      compiled.catch(() => {});
      ready.set(name, compiled);
    }
  }
  return {
    async compiled(part) {
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
    takeSeconds() {
      const [own, now] = [waited, compileSeconds()];
      const seconds = own + now - before;
      waited = 0;
      before = now;
      return seconds;
    },
  };
}
