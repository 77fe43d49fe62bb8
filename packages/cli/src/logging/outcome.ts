/** How a run ended, kept in its folder so that its page can say so. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What `outcome.json` holds. */
export interface Outcome {
  /** `failed`: it ended by an error. */
  readonly reason: 'finished' | 'interrupted' | 'diverged' | 'hacked' | 'failed';
  /** Why, in words, of a run that was stopped or failed. */
  readonly problem?: string;
}

const file = (folder: string) => join(folder, 'outcome.json');

/** Forgets the outcome of an earlier part of the run: it is under way. */
export const clearOutcome = (folder: string) => rm(file(folder), { force: true });

export async function writeOutcome(folder: string, outcome: Outcome): Promise<void> {
  await writeFile(file(folder), `${JSON.stringify(outcome)}\n`);
}

/** Nothing for a run under way, or of a tool that keeps no outcome. */
export async function readOutcome(folder: string): Promise<Outcome | undefined> {
  const text = await readFile(file(folder), 'utf8').catch(() => undefined);
  try {
    return text === undefined ? undefined : (JSON.parse(text) as Outcome);
  } catch {
    return undefined; // a foreign run's file
  }
}
