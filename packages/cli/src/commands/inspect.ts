/** flow-grpo inspect */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, detectHacking, type EpochMetrics, resolveConfig } from '@flow-grpo/grpo-trainer';
import { plural } from '@flow-grpo/page-components/numbers';
import { isCompared, watchOptions } from '../page/run-config';
import { readMetrics } from '../page/run-records';
import { checkRunFolder } from '../run/output-folder';

export interface InspectCommandOptions {
  readonly window?: string;
  readonly tolerance?: string;
  /** Print what was found as one line of JSON. */
  readonly json?: boolean;
}

interface Found {
  readonly ok: boolean;
  readonly problems: readonly string[];
  readonly epochs: number;
  /** Images of all epochs. */
  readonly samples: number;
  /** Whether there are enough epochs for anything to be seen. */
  readonly compared: boolean;
}

/**
 * Checks the metrics of a run, finished or not, for signs of reward hacking, and prints each. Where an option is not given,
 * the run's own configuration says.
 *
 * @returns whether there are any
 * @throws {ConfigError} when the folder is not a run's or has no such metrics, or an option is not a number
 */
export async function inspectCommand(
  folder: string,
  { json, ...options }: InspectCommandOptions,
): Promise<boolean> {
  const numbers = Object.entries(options).map(([name, text]) => [name, Number(text)]);
  resolveConfig({ hacking: Object.fromEntries(numbers) });
  await checkRunFolder(folder);
  const config = await readFile(join(folder, 'config.json'), 'utf8').catch(() => null);
  const hacking = { ...watchOptions(config), ...Object.fromEntries(numbers) };
  const file = join(folder, 'metrics.jsonl');
  const epochs = await readMetrics(folder);
  if (epochs.length === 0) throw new ConfigError(`${file} has no epoch in it`);
  const problems = inspect(epochs, hacking, file);
  const found: Found = {
    ok: problems.length === 0,
    problems,
    epochs: epochs.length,
    samples: epochs.at(-1)!.samples,
    compared: isCompared(epochs.length, hacking),
  };
  console.log(json ? JSON.stringify(found) : inWords(found, hacking.window));
  return problems.length > 0;
}

function inWords({ ok, problems, epochs, samples, compared }: Found, window: number): string {
  if (!ok) return problems.map((problem) => `The reward may have been hacked: ${problem}`).join('\n');
  const all = `${plural(epochs, 'epoch')} (${plural(samples, 'image')})`;
  return compared
    ? `No sign of reward hacking in ${all}.`
    : `Too early to say: ${all}, and the last ${window} are compared with the first ${window}. --window compares fewer.`;
}

function inspect(
  epochs: readonly EpochMetrics[],
  options: Parameters<typeof detectHacking>[1],
  file: string,
): string[] {
  try {
    return detectHacking(epochs, options);
  } catch (error) {
    throw new ConfigError(`${file}: ${(error as Error).message}`, { cause: error });
  }
}
