/** flow-grpo train */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { listRuns } from '../checkpoint/checkpoint';
import type { RunFile } from '../config/run-file';
import { progressLine, trainingProgress } from '../logging/progress-line';
import { readLines, runLog } from '../logging/run-log';
import { writeRunReport } from '../report/run-report';
import { epochPlan } from '../rollout/epoch-plan';
import type { RunSetup } from '../setup/setup';
import { abortOnSignals } from '../signals';
import { type EpochMetrics, type Progress, train } from '../train';
import { estimateMemory } from './estimates';
import { need, openRun, type SharedOptions } from './shared';
import { startTable } from './start-table';

export interface TrainCommandOptions extends SharedOptions {
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
  line: ReturnType<typeof progressLine>,
) {
  const { config, output } = run;
  const policy = need(made.policy, 'policy', run);
  const prompts = need(made.prompts, 'prompts', run);
  const scorer = need(made.scorer, 'scorer', run);
  await mkdir(output, { recursive: true });
  const resume = options.resume || false;
  const log = await runLog(output, resume ? await resumeEpoch(output, resume) : 0);
  const memory = estimateMemory(policy, prompts.at(0)!.prompt, config);
  line.note(startTable(run, memory, await secondsAnEpoch(output)));
  await writeFile(join(output, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  const progress = trainingProgress(line, { epochs: config.epochs, imagesPerStep: imagesPerStep(run) });
  const result = await train({
    policy,
    prompts,
    scorer,
    evalPrompts: made.evalPrompts,
    config,
    outputDir: output,
    resume,
    signal: options.signal,
    onProgress: progress.onProgress,
    onMessage: line.note,
    onEpoch: async (metrics, details) => {
      progress.onEpoch(metrics);
      await log.onEpoch(metrics, details);
    },
    onEvaluation: async (evaluation) => {
      line.note(`evaluation after ${evaluation.epoch} epochs: reward ${evaluation.reward.toFixed(4)}`);
      await log.onEvaluation(evaluation);
    },
  });
  const weights = config.ema.enabled ? result.ema : result.trained;
  if (result.reason === 'finished') await saveSafetensors(join(output, 'model.safetensors'), weights);
  if (result.updates > 0) line.note(`report: ${await writeRunReport(output)}`);
  line.note(result.problem ?? `${result.reason} after ${result.epochs} epochs, ${result.updates} updates`);
  return result.reason;
}

/** Images that a step of each phase stands for, for rates. */
function imagesPerStep({ config }: RunFile): Record<Progress['phase'], number> {
  const { batchSize, epochSize } = epochPlan(config);
  return {
    rollout: batchSize,
    reward: batchSize,
    update: epochSize / config.training.updatesPerEpoch,
    evaluation: config.evalBatchSize,
    checkpoint: 0,
  };
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
