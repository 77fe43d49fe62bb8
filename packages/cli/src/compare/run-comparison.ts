/** Trains settings on the same prompts and noise, seed by seed, and compares the results. */
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { epochPlan } from '@flow-grpo/grpo-trainer/config';
import * as tf from '@tensorflow/tfjs-core';
import type { ProgressLine } from '../logging/progress-line';
import { readEvaluations, readMetrics } from '../page/run-records';
import { trainRun } from '../run/train-run';
import type { RunFile } from '../run-file/schema';
import { setupFingerprint } from '../setup/fingerprint';
import { makeSetup } from '../setup/make-setup';
import type { RunSetup, SetupContext } from '../setup/setup';
import { type Comparison, comparisonPage } from './page';
import { type ComparedRun, compareRuns } from './statistics';

export interface ComparisonOptions {
  readonly seeds: readonly number[];
  /** `reward`, or a detail of the scorer. */
  readonly measure: string;
  /** Levels of the measure; images and seconds until each is reached are reported. */
  readonly levels: readonly number[];
  /** Training images per run, rounded up to epochs; by default what the run file says. */
  readonly images?: number | undefined;
  /** The comparison's folder: runs in SETTING/seed-N, compare.html, compare.json. */
  readonly output: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs every setting with every seed and compares them. Random numbers are keyed by seed and epoch, so runs of one seed
 * see the same prompts and the same noise where their epochs are alike, and are evaluated on the same noise. Runs that are
 * complete are not repeated, and interrupted ones resume.
 *
 * @param settings run files by name; the first one is what the others are compared with
 * @returns what was compared; nothing when it was interrupted
 * @throws {ConfigError} when settings have other evaluation prompts than the first, or none.
 */
export async function runComparison(
  settings: Readonly<Record<string, RunFile>>,
  options: ComparisonOptions,
  context: SetupContext,
  line: ProgressLine,
): Promise<Comparison | undefined> {
  const { seeds, output, signal, measure, levels } = options;
  const setups = setupsOnce(context);
  const runs: ComparedRun[] = [];
  let evaluated: string | undefined;
  for (const seed of seeds) {
    for (const [setting, file] of Object.entries(settings)) {
      const made = await setups(file);
      const prompts = JSON.stringify(promptsOf(made, setting));
      evaluated ??= prompts;
      if (prompts !== evaluated) {
        throw new ConfigError(
          `${setting} has different evaluation prompts from ${Object.keys(settings)[0]}: images can only be compared on the same prompts`,
        );
      }
      const folder = join(output, setting, `seed-${seed}`);
      line.note(`${setting}, seed ${seed}`);
      const reason = await trainOnce(runOf(file, seed, folder, options), made, line, signal);
      if (reason === 'interrupted') return undefined;
      runs.push({ setting, seed, reason, ...(await recordsOf(folder)) });
    }
  }
  const comparison = { measure, summaries: compared(runs, measure, levels) };
  makeFolder(output);
  await writeFile(join(output, 'compare.html'), comparisonPage(comparison));
  await writeFile(join(output, 'compare.json'), `${JSON.stringify(comparison, null, 2)}\n`);
  return comparison;
}

/** Names for files: theirs without the ending. */
export function settingNames(files: readonly string[]): string[] {
  const names = files.map((file) => basename(file).replace(/\.(ya?ml|json)$/, ''));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new ConfigError(
      `two files are called ${twice}: settings are named after their files, so give them different names`,
    );
  }
  return names;
}

/** Equal setups are made once: a model is loaded once for all its runs. */
function setupsOnce(context: SetupContext) {
  const made = new Map<string, Promise<RunSetup>>();
  return ({ setup }: RunFile): Promise<RunSetup> => {
    const key = JSON.stringify(setup);
    const known = made.get(key) ?? makeSetup(setup, context);
    made.set(key, known);
    return known;
  };
}

function promptsOf({ evalPrompts }: RunSetup, setting: string): string[] {
  if (!evalPrompts) throw new ConfigError(`${setting}: its setup provides no evalPrompts to compare on`);
  return Array.from({ length: evalPrompts.length }, (_, i) => evalPrompts.at(i)!.prompt);
}

function runOf(file: RunFile, seed: number, output: string, { images }: ComparisonOptions): RunFile {
  const { epochSize } = epochPlan(file.config);
  const epochs = images === undefined ? file.config.epochs : Math.ceil(images / epochSize);
  return { ...file, output, config: { ...file.config, seed, epochs } };
}

/** Trains, or returns how the same run ended before; the same is one of equal options and an equal setup. */
async function trainOnce(
  run: RunFile,
  made: RunSetup,
  line: ProgressLine,
  signal: AbortSignal | undefined,
): Promise<string> {
  const file = join(run.output, 'result.json');
  const config = JSON.stringify(run.config);
  const setup = JSON.stringify(await setupFingerprint(run.setup, made, { signal }));
  const before = await resultOf(file);
  if (before?.config === config && before.setup === setup) return before.reason;
  const { reason, trained, ema } = await trainRun(run, made, { signal }, line);
  tf.dispose([trained, ema]);
  if (reason !== 'interrupted') await writeFile(file, `${JSON.stringify({ reason, config, setup })}\n`);
  return reason;
}

/** How a run ended; undefined where that is not known, or not readable. */
async function resultOf(
  file: string,
): Promise<{ reason: string; config: unknown; setup: unknown } | undefined> {
  try {
    const { reason, config, setup } = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    return typeof reason === 'string' ? { reason, config, setup } : undefined;
  } catch {
    return undefined;
  }
}

const recordsOf = async (folder: string) => ({
  epochs: await readMetrics(folder),
  evaluations: await readEvaluations(folder),
});

function compared(runs: readonly ComparedRun[], measure: string, levels: readonly number[]) {
  try {
    return compareRuns(runs, measure, levels);
  } catch (error) {
    throw new ConfigError((error as Error).message, { cause: error });
  }
}
