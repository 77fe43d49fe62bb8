import type { Scores } from '../scorer';
import type { ImageEntry } from './inputs';

/** What was scored, by what. */
export interface ScoredFolder {
  /** The rewards, as `name` or `name=weight`. */
  rewards: string[];
  images: readonly (Pick<ImageEntry, 'file' | 'prompt'> & Partial<Pick<ImageEntry, 'metadata'>>)[];
  scores: readonly number[];
  details: Scores['details'];
}

/** CSV by RFC 4180: file, prompt, score, then the details; empty where there is no number. */
export function scoresCsv({ images, scores, details }: ScoredFolder): string {
  const header = ['file', 'prompt', 'score', ...Object.keys(details)];
  const rows = images.map(({ file, prompt }, i) => [
    file,
    prompt,
    ...[scores[i]!, ...Object.values(details).map((values) => values[i]!)].map((value) =>
      Number.isNaN(value) ? '' : String(value),
    ),
  ]);
  return [header, ...rows].map((row) => `${row.map(csvField).join(',')}\r\n`).join('');
}

/** JSON with the mean, and for each image its file, prompt, score and details; null where there is no number. */
export function scoresJson(scored: ScoredFolder): string {
  const { rewards, images, scores, details } = scored;
  const rows = images.map(({ file, prompt }, i) => ({
    ...{ file, prompt, score: scores[i]! },
    details: Object.fromEntries(Object.entries(details).map(([name, values]) => [name, values[i]!])),
  }));
  const report = { rewards, count: rows.length, ...summary(scores), images: rows };
  return `${JSON.stringify(report, null, 2)}\n`;
}

/** Mean, deviation and range of those scores that are numbers; NaN without any. */
export function summary(scores: readonly number[]) {
  const valid = scores.filter((score) => !Number.isNaN(score));
  const mean = valid.reduce((sum, score) => sum + score, 0) / valid.length;
  const variance = valid.reduce((sum, score) => sum + (score - mean) ** 2, 0) / valid.length;
  const ends = valid.length > 0 ? valid : [Number.NaN];
  const min = ends.reduce((a, b) => Math.min(a, b));
  const max = ends.reduce((a, b) => Math.max(a, b));
  return { mean, std: Math.sqrt(variance), min, max };
}

const csvField = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
