/** What the page and its worker tell each other. */
import type { RewardMap } from './reward-map';

export type AlgorithmChoice = 'grpo' | 'nft' | 'awm' | 'sft';

/** Tune from the start model; replaces a run under way. */
export interface StartMessage {
  readonly kind: 'start';
  readonly algorithm: AlgorithmChoice;
  readonly learningRate: number;
  readonly map: RewardMap;
}

/** Reward is somewhere else from now on. */
export interface MapMessage {
  readonly kind: 'map';
  readonly map: RewardMap;
}

export type ToWorker = StartMessage | MapMessage | { readonly kind: 'stop' };

/** What the model draws after an epoch. */
export interface PointsMessage {
  readonly kind: 'points';
  readonly epoch: number;
  /** x and y of every point. */
  readonly points: Float32Array;
  /** Mean reward of these points. */
  readonly reward: number;
}

export type FromWorker =
  | PointsMessage
  | { readonly kind: 'ended' }
  | { readonly kind: 'failed'; readonly message: string };
