/** What an epoch's numbers say of a run: whether it diverged, or its reward is being hacked. */

import type { RunState } from '../checkpoint/store';
import type { GrpoConfig } from '../config/schema';
import { checkDivergence, type DivergenceInput, type Verdict } from '../divergence';
import type { EpochMetrics } from '../epoch-metrics';
import type { UpdateResult } from '../update/create-update';
import { checkHacking, type HackingState } from '../watch/hacking';
import type { VelocityNumbers } from '../watch/velocity-probe';

/** An epoch's update, with what it did to the velocity where that is measured. */
export interface WatchedUpdate extends UpdateResult {
  readonly velocity: Partial<VelocityNumbers>;
}

export interface EpochVerdict extends Verdict {
  readonly reason: 'diverged' | 'hacked';
  readonly hacking: HackingState;
}

export interface EpochToJudge {
  readonly config: GrpoConfig;
  /** Before this epoch. */
  readonly run: RunState;
  readonly metrics: EpochMetrics;
  readonly result: WatchedUpdate;
  /** Numbers in a latent. */
  readonly latentSize: number;
  /** How far the policy moved, in the measure that fits its rollouts. */
  readonly moves: DivergenceInput['moves'];
}

/** @param warn told of signs of hacking where the run goes on all the same */
export function judgeEpoch(
  { config, run, metrics, result, latentSize, moves }: EpochToJudge,
  warn: (message: string) => void,
): EpochVerdict {
  const hacked = checkHacking(run.hacking, run.epoch, metrics, config.hacking);
  const { learningRate, perUpdate } = result;
  const { problem, goodEpochs, ...divergence } = checkDivergence(
    run.divergence,
    {
      epoch: run.epoch,
      reward: metrics.reward,
      rewardStd: metrics.rewardStd!,
      learningRate,
      loss: perUpdate.loss ?? [],
      gradNorm: perUpdate.gradNorm ?? [],
      latentSize,
      moves,
    },
    config.divergence,
  );
  const verdict = { ...divergence, hacking: hacked.state, reason: 'diverged' as const };
  if (problem !== undefined && config.divergence.action !== 'off') {
    return { ...verdict, problem, ...(goodEpochs !== undefined && { goodEpochs }) };
  }
  const { action } = config.hacking;
  if (hacked.problem === undefined || action === 'off') return verdict;
  if (action === 'warn') {
    warn(`The reward may be hacked: ${hacked.problem}. ${AGAINST_HACKING}`);
    return verdict;
  }
  return { ...verdict, ...hacked, state: verdict.state, reason: 'hacked' };
}

const WHAT_HAPPENED = { diverged: 'Diverged in', hacked: 'The reward may be hacked:' } as const;

const AGAINST_HACKING =
  'Look at the images: if they are not what you want, stop earlier, raise the weight of the KL, or add a reward that fails differently.';

/** What happened, as the beginning of a message. */
export const happened = ({ reason, problem }: EpochVerdict): string => `${WHAT_HAPPENED[reason]} ${problem}.`;

/**
 * A verdict in words, for whoever started the run.
 *
 * @param lastGood where the last good checkpoint is, if there is one
 */
export const problemOf = (verdict: EpochVerdict, lastGood: string | undefined): string =>
  [
    happened(verdict),
    verdict.reason === 'hacked' && AGAINST_HACKING,
    lastGood !== undefined && `The last good checkpoint is ${lastGood}.`,
  ]
    .filter(Boolean)
    .join(' ');
