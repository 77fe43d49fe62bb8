/** The observers of a run: the logs in its folder, the terminal, Weights & Biases, the live page, a profile. */

import type { Progress, Scorer, TrainOptions } from '@flow-grpo/grpo-trainer';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { epochPlan } from '@flow-grpo/grpo-trainer/config';
import { plural } from '@flow-grpo/page-components/numbers';
import type { RunPerson } from '../human/run-person';
import type { ProgressLine } from '../logging/progress-line';
import { runLog } from '../logging/run-log';
import { trainingProgress } from '../logging/training-progress';
import { wandbClient } from '../logging/wandb/client';
import { findWandb } from '../logging/wandb/credentials';
import { type WandbLog, wandbLog } from '../logging/wandb/sink';
import { serveRuns, type UiServer } from '../page/server';
import { profiledEpochs } from '../profile/profiled-epochs';
import type { TrainingRun } from './training-run';

export interface ObserverOptions {
  /** Serve the report while training. */
  readonly ui?: boolean;
  readonly uiPort: string;
  readonly uiHost: string;
  /** Further names by which pages may ask for it. */
  readonly uiAllowHost?: readonly string[];
  /** Whoever looks at the page, where a reward asks. */
  readonly person?: RunPerson | undefined;
  /** Profile some epochs. */
  readonly profile?: boolean;
  readonly profileEpochs: string;
}

type Callbacks = Required<Pick<TrainOptions<unknown, unknown>, 'onProgress' | 'onEpoch' | 'onEvaluation'>>;

export interface Observers extends Callbacks {
  /** Names of the programs that are being compiled; none when that is over. */
  onCompile(names: readonly string[]): void;
  /** The scorer, watched by the profile. */
  readonly scorer: Scorer;
  /** Ends the observation: sends what is pending, with a final message. */
  close(finalMessage: string, exitCode: number): Promise<void>;
}

/**
 * Attaches all observers to a run that starts, or resumes, at `fromEpoch`.
 *
 * @throws {ConfigError} when one of them cannot start: better now than after a day of training.
 */
export async function attachObservers(
  run: TrainingRun,
  scorer: Scorer,
  fromEpoch: number,
  options: ObserverOptions,
  line: ProgressLine,
): Promise<Observers> {
  const { config, output } = run;
  const profile = options.profile
    ? profiledEpochs(output, scorer, {
        count: wholeNumber('--profile-epochs', options.profileEpochs, 1),
        left: config.epochs - fromEpoch,
        onMessage: line.note,
      })
    : undefined;
  const log = await runLog(output, fromEpoch, line.note);
  const ui = options.ui ? await openUi(output, options) : undefined;
  if (ui) line.note(`live page: ${ui.url}`);
  const shown = ui ? mirrored(line, ui) : line;
  options.person?.onChange(() => {
    const { waiting, answered } = options.person!;
    if (waiting.length > 0) shown.show(`waiting for you: ${waiting.length} to judge, ${answered} done`);
  });
  const wandb = await openWandb(run, fromEpoch > 0, line.note);
  if (wandb) line.note(`wandb: ${wandb.url}`);
  const progress = trainingProgress(shown, {
    epochs: config.epochs,
    imagesPerStep: imagesPerStep(run),
  });
  return {
    scorer: profile?.scorer ?? scorer,
    onProgress(now) {
      progress.onProgress(now);
      profile?.onPhase(now.phase);
    },
    onCompile: progress.onCompile,
    async onEpoch(metrics, details) {
      profile?.onPhase('logs');
      progress.onEpoch(metrics);
      await log.onEpoch(metrics, details);
      wandb?.onEpoch(metrics, details);
      ui?.changed();
      await profile?.onEpoch();
    },
    async onEvaluation(evaluation) {
      profile?.onPhase('logs');
      const { epoch, reward } = evaluation;
      const told = Number.isFinite(reward) ? `reward ${reward.toFixed(4)}` : 'not judged';
      line.note(`evaluation after ${plural(epoch, 'epoch')}: ${told}`);
      const record = await log.onEvaluation(evaluation);
      wandb?.onEvaluation(record);
      ui?.changed();
    },
    async close(finalMessage, exitCode) {
      await profile?.close();
      await Promise.all([log.close(), wandb?.close(exitCode), ui?.close(finalMessage)]);
    },
  };
}

async function openWandb(
  { wandb: asked, config, setup, output }: TrainingRun,
  resume: boolean,
  onMessage: (message: string) => void,
): Promise<WandbLog | undefined> {
  if (!asked) return undefined;
  const { baseUrl: wanted, ...options } = asked;
  const access = await findWandb(wanted);
  try {
    return await wandbLog(wandbClient(access), output, access.baseUrl, {
      ...options,
      config: { ...config, setup },
      resume,
      onMessage,
    });
  } catch (error) {
    throw new ConfigError(`${(error as Error).message} (leave wandb out to train without it)`, {
      cause: error,
    });
  }
}

async function openUi(
  output: string,
  { uiPort, uiHost, uiAllowHost = [], person }: ObserverOptions,
): Promise<UiServer> {
  const port = wholeNumber('--ui-port', uiPort, 0, 65_535);
  return serveRuns([output], { port, host: uiHost, allowedHosts: uiAllowHost, person }).catch(
    (error: Error) => {
      throw new ConfigError(`--ui: ${error.message}`);
    },
  );
}

function wholeNumber(flag: string, text: string, low: number, high = Number.MAX_SAFE_INTEGER): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  const range = high < Number.MAX_SAFE_INTEGER ? `from ${low} to ${high}` : `of at least ${low}`;
  throw new ConfigError(`${flag} ${text}: give a whole number ${range}`);
}

/** A progress line that the live page shows as well. */
function mirrored(line: ProgressLine, ui: UiServer): ProgressLine {
  const both =
    <Rest extends unknown[]>(show: (text: string, ...rest: Rest) => void) =>
    (text: string, ...rest: Rest) => {
      show(text, ...rest);
      ui.status(text);
    };
  return { ...line, show: both(line.show), log: both(line.log), note: both(line.note) };
}

/** Images that a step of each phase stands for, for rates. */
function imagesPerStep({ config, algorithm }: TrainingRun): Record<Progress['phase'], number> {
  const { batchSize, epochSize } = epochPlan(config, algorithm);
  return {
    rollout: batchSize,
    reward: batchSize,
    update: epochSize / config.training.updatesPerEpoch,
    evaluation: config.evalBatchSize,
    checkpoint: 0,
  };
}
