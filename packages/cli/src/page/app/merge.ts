import type { RunData, RunNews } from '../run-data';

/** A run with its news: epochs from `news.from` on are the news'. */
export function merged(run: RunData | undefined, news: RunNews): RunData {
  const { from, ...rest } = news;
  const known = run?.metrics.epoch ?? [];
  const end = known.findIndex((epoch) => epoch! >= from);
  const kept = end < 0 ? known.length : end;
  const added = news.metrics.epoch?.length ?? 0;
  const names = new Set([...Object.keys(run?.metrics ?? {}), ...Object.keys(news.metrics)]);
  const column = (name: string) => [
    ...(run?.metrics[name]?.slice(0, kept) ?? new Array<null>(kept).fill(null)),
    ...(news.metrics[name] ?? new Array<null>(added).fill(null)),
  ];
  return {
    ...rest,
    metrics: Object.fromEntries([...names].map((name) => [name, column(name)])),
    evaluations: [...(run?.evaluations ?? []).filter(({ epoch }) => epoch < from), ...news.evaluations],
  };
}
