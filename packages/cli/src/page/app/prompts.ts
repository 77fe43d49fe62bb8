/** Rewards by prompt and by kind, from evaluations. */
import type { EvaluationData, RunData } from '../run-data';

export interface PromptRow {
  /** By place in the run's prompts; undefined for a kind. */
  readonly prompt: number | undefined;
  readonly name: string;
  readonly kind: string | null;
  /** Mean rewards of the first and the last evaluation. */
  readonly first: number | undefined;
  readonly last: number | undefined;
  readonly change: number | undefined;
  /** Images per evaluation. */
  readonly images: number;
}

/** The rewards of an evaluation, of all images where they were kept, else of those shown. */
function rewardsOf({ scores, samples }: EvaluationData): { prompt: number; reward: number }[] {
  const { prompts, rewards } = scores ?? samples ?? { prompts: [], rewards: [] };
  return prompts.flatMap((prompt, i) =>
    typeof rewards[i] === 'number' ? [{ prompt, reward: rewards[i] }] : [],
  );
}

/** One row per value of `keyOf`, from the first and the last evaluation that have rewards. */
function rows<K>(
  run: RunData,
  keyOf: (prompt: number) => K | null,
  rowOf: (key: K) => Pick<PromptRow, 'prompt' | 'name' | 'kind'>,
): PromptRow[] {
  const evaluations = run.evaluations.map(rewardsOf).filter(({ length }) => length > 0);
  const [first = [], last = []] = [evaluations[0], evaluations.at(-1)];
  const groups = new Map<K, { first: number[]; last: number[] }>();
  for (const [end, rewards] of [
    ['first', first],
    ['last', last],
  ] as const) {
    for (const { prompt, reward } of rewards) {
      const key = keyOf(prompt);
      if (key === null) continue;
      const group = groups.get(key) ?? { first: [], last: [] };
      groups.set(key, group);
      group[end].push(reward);
    }
  }
  return [...groups].map(([key, group]) => {
    const [before, after] = [mean(group.first), mean(group.last)];
    const change = before === undefined || after === undefined ? undefined : after - before;
    return { ...rowOf(key), first: before, last: after, change, images: group.last.length };
  });
}

export const promptRows = (run: RunData): PromptRow[] =>
  rows(
    run,
    (prompt) => prompt,
    (prompt) => ({ prompt, name: run.prompts[prompt]!, kind: run.kinds[prompt] ?? null }),
  );

/** None where the data set names no kinds. */
export const kindRows = (run: RunData): PromptRow[] =>
  rows(
    run,
    (prompt) => run.kinds[prompt] ?? null,
    (kind) => ({ prompt: undefined, name: kind.replaceAll('_', ' '), kind }),
  ).sort((a, b) => (a.name < b.name ? -1 : 1));

function mean(values: readonly number[]): number | undefined {
  return values.length > 0 ? values.reduce((a, b) => a + b, 0) / values.length : undefined;
}
