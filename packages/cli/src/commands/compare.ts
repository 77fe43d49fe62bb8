/** flow-grpo compare */
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { abortOnSignals } from '@flow-grpo/grpo-trainer/node';
import { comparisonTable } from '../compare/page';
import { runComparison, settingNames } from '../compare/run-comparison';
import { progressLine } from '../logging/progress-line';
import { readRunFile } from '../run-file/read';
import { EXIT } from './failure';
import { useBackend } from './shared';

export interface CompareCommandOptions {
  readonly seeds: string;
  readonly measure: string;
  readonly reach?: string;
  readonly images?: string;
  readonly set: readonly string[];
  readonly output: string;
  readonly backend: string;
  /** Print the comparison as one line of JSON on standard output. */
  readonly json?: boolean;
}

/** Trains every file's setting with every seed; prints a table. */
export async function compareCommand(
  files: readonly string[],
  options: CompareCommandOptions,
): Promise<void> {
  const seeds = numbersOf('--seeds', options.seeds, wholeFrom(0));
  const levels = options.reach === undefined ? [] : numbersOf('--reach', options.reach, ANY_NUMBER);
  const images =
    options.images === undefined ? undefined : numberOf('--images', options.images, wholeFrom(1));
  const names = settingNames(files);
  const runs = await Promise.all(files.map((file) => readRunFile(file, options.set)));
  const settings = Object.fromEntries(names.map((name, i) => [name, runs[i]!]));
  await useBackend(options.backend, Math.max(...runs.map(({ config }) => config.devices)));
  const line = progressLine();
  const { signal, release } = abortOnSignals((name) =>
    line.note(`${name}: saving what is done, then exiting; run the same command again to resume`),
  );
  try {
    const { measure, output } = options;
    const compared = await runComparison(
      settings,
      { seeds, levels, measure, output, images, signal },
      { signal, onMessage: line.note },
      line,
    );
    if (compared === undefined) {
      process.exitCode = EXIT.interrupted;
      return;
    }
    line.end();
    console.log(options.json ? JSON.stringify(compared) : `${comparisonTable(compared)}\n`);
    line.note(`page: ${output}/compare.html`);
  } finally {
    line.end();
    release();
  }
}

/** Which numbers a flag takes, with words for its error message. */
interface Numbers {
  readonly accepts: (value: number) => boolean;
  readonly words: string;
}

const ANY_NUMBER: Numbers = { accepts: Number.isFinite, words: 'a number' };
const wholeFrom = (low: number): Numbers => ({
  accepts: (value) => Number.isInteger(value) && value >= low,
  words: `a whole number of at least ${low}`,
});

function numberOf(flag: string, text: string, { accepts, words }: Numbers, part = text): number {
  const value = Number(part);
  if (part.trim() !== '' && accepts(value)) return value;
  throw new ConfigError(`${flag} ${text}: ${JSON.stringify(part)} is not ${words}`);
}

/** Numbers between commas. */
const numbersOf = (flag: string, text: string, numbers: Numbers): number[] =>
  text.split(',').map((part) => numberOf(flag, text, numbers, part));
