/** flow-grpo compare */
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { abortOnSignals } from '@flow-grpo/grpo-trainer/node';
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
}

/** Trains every file's setting with every seed; prints a table. */
export async function compareCommand(
  files: readonly string[],
  options: CompareCommandOptions,
): Promise<void> {
  const numbers = (flag: string, text: string, isRight: (value: number) => boolean) =>
    text.split(',').map((part) => {
      const value = Number(part);
      if (part.trim() === '' || !isRight(value))
        throw new ConfigError(`${flag} ${text}: ${part} is no such number`);
      return value;
    });
  const wholeFrom = (low: number) => (value: number) => Number.isInteger(value) && value >= low;
  const seeds = numbers('--seeds', options.seeds, wholeFrom(0));
  const levels = options.reach === undefined ? [] : numbers('--reach', options.reach, Number.isFinite);
  const [images] = options.images === undefined ? [] : numbers('--images', options.images, wholeFrom(1));
  const names = settingNames(files);
  const runs = await Promise.all(files.map((file) => readRunFile(file, options.set)));
  const settings = Object.fromEntries(names.map((name, i) => [name, runs[i]!]));
  await useBackend(options.backend, Math.max(...runs.map(({ config }) => config.devices)));
  const line = progressLine();
  const { signal, release } = abortOnSignals((name) =>
    line.note(`${name}: saving a checkpoint, then exiting; run the same command again to resume`),
  );
  try {
    const { measure, output } = options;
    const table = await runComparison(
      settings,
      { seeds, levels, measure, output, images, signal },
      { signal, onMessage: line.note },
      line,
    );
    if (table === undefined) {
      process.exitCode = EXIT.interrupted;
      return;
    }
    line.end();
    console.log(`${table}\n`);
    line.note(`page: ${output}/compare.html`);
  } finally {
    line.end();
    release();
  }
}
