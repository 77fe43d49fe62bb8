/** Traces that chrome://tracing and ui.perfetto.dev show. */

/** Something that took time, on a track of its own kind. Times in milliseconds from a common start. */
export interface Span {
  readonly track: string;
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly details?: Readonly<Record<string, string | number>>;
}

/** The JSON of a trace (Trace Event Format): one row per track, in the order of `tracks`; others follow. */
export function chromeTrace(spans: readonly Span[], tracks: readonly string[] = []): string {
  const names = [...new Set([...tracks, ...spans.map(({ track }) => track)])];
  const pid = 1;
  const labels = names.flatMap((name, tid) => [
    { ph: 'M', pid, tid, name: 'thread_name', args: { name } },
    { ph: 'M', pid, tid, name: 'thread_sort_index', args: { sort_index: tid } },
  ]);
  const events = spans.map(({ track, name, start, end, details }) => ({
    ph: 'X',
    pid,
    tid: names.indexOf(track),
    name,
    ts: Math.round(1000 * start), // microseconds
    dur: Math.max(0, Math.round(1000 * (end - start))),
    ...(details && { args: details }),
  }));
  return JSON.stringify({ traceEvents: [...labels, ...events], displayTimeUnit: 'ms' });
}
