/** flow-grpo train */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { listRuns } from '../checkpoint/checkpoint';
import type { RunFile } from '../config/run-file';
import { type ProgressLine, progressLine } from '../logging/progress-line';
import { readLines } from '../logging/run-log';
import { writeRunReport } from '../report/run-report';
import type { RunSetup } from '../setup/setup';
import { abortOnSignals } from '../signals';
import { type EpochMetrics, type TrainResult, train } from '../train';
import { estimateMemory } from './estimates';
import { type FollowerOptions, followRun } from './followers';
import { need, openRun, type SharedOptions } from './shared';
import { startTable } from './start-table';

export interface TrainCommandOptions extends SharedOptions, FollowerOptions {
  readonly resume: string | false;
}

export async function trainCommand(file: string | undefined, options: TrainCommandOptions): Promise<void> {
  const line = progressLine();
  const { signal, release } = abortOnSignals((name) =>
    line.note(`${name}: saving, then ending; again to end now`),
  );
  try {
    const { run, made } = await openRun(file, options, { signal, onMessage: line.note });
    const reason = await trainRun(run, made, { ...options, signal }, line);
    if (reason === 'diverged') process.exitCode = 1;
  } finally {
    line.end();
    release();
  }
}

async function trainRun(
  run: RunFile,
  made: RunSetup,
  options: TrainCommandOptions & { signal: AbortSignal },
  line: ProgressLine,
): Promise<TrainResult['reason']> {
  const { config, output } = run;
  const policy = need(made.policy, 'policy', run);
  const prompts = need(made.prompts, 'prompts', run);
  const scorer = need(made.scorer, 'scorer', run);
  await mkdir(output, { recursive: true });
  const resume = options.resume || false;
  const fromEpoch = resume ? await resumeEpoch(output, resume) : 0;
  const memory = estimateMemory(policy, prompts.at(0)!.prompt, config);
  line.note(startTable(run, memory, await secondsAnEpoch(output)));
  const followers = await followRun(run, scorer, fromEpoch, options, line);
  await writeFile(join(output, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  let lastWords = 'ended by an error';
  let exitCode = 1;
  try {
    const result = await train({
      policy,
      prompts,
      evalPrompts: made.evalPrompts,
      config,
      outputDir: output,
      resume,
      signal: options.signal,
      onMessage: line.note,
      ...followers,
    });
    const weights = config.ema.enabled ? result.ema : result.trained;
    if (result.reason === 'finished') await saveSafetensors(join(output, 'model.safetensors'), weights);
    if (result.updates > 0) line.note(`report: ${await writeRunReport(output)}`);
    lastWords = result.problem ?? `${result.reason} after ${result.epochs} epochs, ${result.updates} updates`;
    line.note(lastWords);
    exitCode = result.reason === 'diverged' ? 1 : 0;
    return result.reason;
  } finally {
    await followers.close(lastWords, exitCode);
  }
}

async function resumeEpoch(output: string, resume: string): Promise<number> {
  const name = resume === 'auto' ? (await listRuns(join(output, 'checkpoints'))).at(-1) : resume;
  return Number(/epoch-(\d+)\/?$/.exec(name ?? '')?.[1] ?? 0);
}

/** The mean of the folder's last epochs; the first one compiles and does not count. */
async function secondsAnEpoch(output: string): Promise<number | undefined> {
  const recent = (await readLines<EpochMetrics>(join(output, 'metrics.jsonl'))).slice(1).slice(-10);
  const seconds = recent.flatMap((metrics) => metrics.seconds ?? []);
  return seconds.length > 0 ? seconds.reduce((a, b) => a + b, 0) / seconds.length : undefined;
}
