/** What observes a run on the command line: its folder's logs, the terminal, Weights & Biases, the live page, a profile. */

import type { Progress, Scorer, TrainOptions } from '@flow-grpo/grpo-trainer';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { epochPlan } from '@flow-grpo/grpo-trainer/config';
import { type ProgressLine, trainingProgress } from '../logging/progress-line';
import { runLog } from '../logging/run-log';
import { wandbClient } from '../logging/wandb/client';
import { findWandb } from '../logging/wandb/credentials';
import { type WandbLog, wandbLog } from '../logging/wandb/sink';
import { serveRun, type UiServer } from '../page/server';
import { profiledEpochs } from '../profile/profiled-epochs';
import type { RunFile } from '../run-file/schema';

export interface ObserverOptions {
  /** Serve the report while training. */
  readonly ui?: boolean;
  readonly uiPort: string;
  readonly uiHost: string;
  /** Profile some epochs. */
  readonly profile?: boolean;
  readonly profileEpochs: string;
}

type Callbacks = Required<Pick<TrainOptions<unknown, unknown>, 'onProgress' | 'onEpoch' | 'onEvaluation'>>;

export interface Observers extends Callbacks {
  /** The scorer, watched by the profile. */
  readonly scorer: Scorer;
  /** The run is over: sends what is left, with a final message. */
  close(finalMessage: string, exitCode: number): Promise<void>;
}

/**
 * Opens all that observe a run which starts, or resumes, at `fromEpoch`.
 *
 * @throws {ConfigError} when one of them cannot start: better now than after a day of training.
 */
export async function attachObservers(
  run: RunFile,
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
  const log = await runLog(output, fromEpoch);
  const ui = options.ui ? await openUi(output, options) : undefined;
  if (ui) line.note(`live report: ${ui.url}`);
  const wandb = await openWandb(run, fromEpoch > 0, line.note);
  if (wandb) line.note(`wandb: ${wandb.url}`);
  const progress = trainingProgress(ui ? mirrored(line, ui) : line, {
    epochs: config.epochs,
    imagesPerStep: imagesPerStep(run),
  });
  return {
    scorer: profile?.scorer ?? scorer,
    onProgress(now) {
      progress.onProgress(now);
      profile?.onPhase(now.phase);
    },
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
      line.note(`evaluation after ${evaluation.epoch} epochs: reward ${evaluation.reward.toFixed(4)}`);
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
  { wandb: asked, config, setup, output }: RunFile,
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

async function openUi(output: string, { uiPort, uiHost }: ObserverOptions): Promise<UiServer> {
  const port = wholeNumber('--ui-port', uiPort, 0, 65_535);
  return serveRun(output, { port, host: uiHost }).catch((error: Error) => {
    throw new ConfigError(`--ui: ${error.message}`);
  });
}

function wholeNumber(flag: string, text: string, low: number, high = Number.MAX_SAFE_INTEGER): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  const range = high < Number.MAX_SAFE_INTEGER ? `from ${low} to ${high}` : `of at least ${low}`;
  throw new ConfigError(`${flag} ${text}: give a whole number ${range}`);
}

/** A progress line that the live page shows as well. */
function mirrored(line: ProgressLine, ui: UiServer): ProgressLine {
  const both = (show: (text: string) => void) => (text: string) => {
    show(text);
    ui.status(text);
  };
  return { ...line, show: both(line.show), note: both(line.note) };
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
