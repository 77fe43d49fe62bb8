/** Where the time of a few epochs goes: phases of the trainer, scoring, and every program on the device. */

import type { Scorer } from '@flow-grpo/grpo-trainer';
import { type Execution, observeExecutions } from '@flow-grpo/tfjs-backend-xla';
import type { Span } from './chrome-trace';

/** What a program's span calls its operations. */
const GFLOP = 'GFLOP';

/** The rows of a trace. */
export const TRACKS = ['phases', 'host', 'device', 'scoring'] as const;

/** What the time of one epoch went to, seconds, as means over the profiled epochs. */
export interface ProfileRow {
  readonly what: string;
  readonly kind: 'program' | 'phase' | 'scoring' | 'idle';
  /** Calls per epoch. */
  readonly calls: number;
  readonly seconds: number;
  /** Of the epoch. */
  readonly share: number;
  /** Of a program: floating-point operations per second of its time, in 1e9; absent where none are counted. */
  readonly gflopsPerSecond?: number;
}

export interface Profile {
  readonly epochs: number;
  readonly secondsPerEpoch: number;
  readonly rows: readonly ProfileRow[];
  readonly spans: readonly Span[];
}

export interface Profiler {
  /** Starts to watch; an epoch begins now. */
  start(): void;
  /** The trainer turns to something else, such as `rollout`. */
  onPhase(name: string): void;
  /** An epoch has ended. */
  onEpoch(): void;
  /** Ends watching. Resolves when the last program is done. */
  finish(): Promise<Profile>;
  /** The scorer, watched. */
  watch(scorer: Scorer): Scorer;
}

interface Ran {
  readonly execution: Execution;
  readonly done: number;
}

/** Times are those of `now`, which must be the executions' clock. */
export function profiler(now: () => number = () => performance.now()): Profiler {
  const spans: Span[] = [];
  const running: Promise<Ran>[] = [];
  let stop: (() => void) | undefined;
  let origin = 0;
  let epochs = 0;
  let ended = 0;
  let phase: { name: string; start: number } | undefined;

  const endPhase = (at: number) => {
    if (phase)
      spans.push({ track: 'phases', name: phase.name, start: phase.start - origin, end: at - origin });
    phase = undefined;
  };
  return {
    start() {
      origin = now();
      stop = observeExecutions((execution) => {
        running.push(execution.done.then((done) => ({ execution, done })));
      });
    },
    onPhase(name) {
      if (!stop || phase?.name === name) return;
      endPhase(now());
      phase = { name, start: now() };
    },
    onEpoch() {
      if (!stop) return;
      epochs++;
      ended = now();
      endPhase(ended);
    },
    async finish() {
      stop?.();
      stop = undefined;
      const ran = await Promise.all(running);
      let latest = 0; // no program begins before all those before it are done
      const programs = ran.flatMap((one) => {
        const found = programSpans(one, latest, origin);
        latest = Math.max(latest, one.done);
        return found;
      });
      const all = [...spans, ...programs].filter(({ start }) => start <= ended - origin);
      const secondsPerEpoch = (ended - origin) / 1000 / Math.max(1, epochs);
      return { epochs, secondsPerEpoch, rows: rowsOf(all, epochs, secondsPerEpoch), spans: all };
    },
    watch: (scorer) => ({
      ...scorer,
      async score(...args) {
        const start = now();
        try {
          return await scorer.score(...args);
        } finally {
          if (stop)
            spans.push({ track: 'scoring', name: scorer.name, start: start - origin, end: now() - origin });
        }
      },
    }),
  };
}

/**
 * A device runs its programs one after the other; `free` is when it is done with those before. A small one that a CPU ran
 * beside a large one has no time of its own.
 */
function programSpans({ execution, done }: Ran, free: number, origin: number): Span[] {
  const { name, start, dispatched, flops } = execution;
  const began = Math.min(done, Math.max(start, free));
  return [
    { track: 'host', name: `dispatch ${name}`, start: start - origin, end: dispatched - origin },
    {
      ...{ track: 'device', name, start: began - origin, end: done - origin },
      ...(flops && { details: { [GFLOP]: flops / 1e9 } }),
    },
  ];
}

function rowsOf(spans: readonly Span[], epochs: number, secondsPerEpoch: number): ProfileRow[] {
  const of = (track: string, kind: ProfileRow['kind']) => {
    const sums = new Map<string, { calls: number; seconds: number; gflop: number }>();
    for (const { track: own, name, start, end, details } of spans) {
      if (own !== track) continue;
      const sum = sums.get(name) ?? { calls: 0, seconds: 0, gflop: 0 };
      const gflop = sum.gflop + Number(details?.[GFLOP] ?? 0);
      sums.set(name, { calls: sum.calls + 1, seconds: sum.seconds + (end - start) / 1000, gflop });
    }
    return [...sums].map(([what, { calls, seconds, gflop }]) => ({
      ...row(what, kind, calls, seconds),
      ...(gflop > 0 && seconds > 0 && { gflopsPerSecond: gflop / seconds }),
    }));
  };
  const row = (what: string, kind: ProfileRow['kind'], calls: number, seconds: number): ProfileRow => ({
    what,
    kind,
    calls: calls / epochs,
    seconds: seconds / epochs,
    share: seconds / epochs / secondsPerEpoch,
  });
  const withRest = (rows: ProfileRow[], what: string, kind: ProfileRow['kind']) => {
    if (rows.length === 0) return rows;
    const busy = rows.reduce((sum, { seconds }) => sum + seconds, 0);
    return [...rows, row(what, kind, 0, Math.max(0, secondsPerEpoch - busy) * epochs)];
  };
  return [
    ...withRest(of('phases', 'phase'), 'other', 'phase'),
    ...withRest(
      of('device', 'program').sort((a, b) => b.seconds - a.seconds),
      'idle',
      'idle',
    ),
    ...of('scoring', 'scoring'),
  ];
}
