/** Callbacks of a run, tidied for who wrote them. */
import { tidyAsync } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { TrainOptions } from './train-options';

type Callbacks = Pick<
  TrainOptions<unknown, unknown>,
  'onEpoch' | 'onEvaluation' | 'onProgress' | 'onCompile' | 'onMessage'
>;

/** The callbacks of a run, such that no tensor stays that they make. */
export function tidyCallbacks(options: Callbacks): Callbacks {
  const { onEpoch, onEvaluation, onProgress, onCompile, onMessage } = options;
  const atOnce =
    <A extends unknown[]>(callback: (...args: A) => void) =>
    (...args: A): void =>
      tf.tidy(() => void callback(...args));
  const later =
    <A extends unknown[]>(callback: (...args: A) => void | Promise<void>) =>
    (...args: A): Promise<void> =>
      tidyAsync(() => callback(...args));
  return {
    ...(onEpoch && { onEpoch: later(onEpoch) }),
    ...(onEvaluation && { onEvaluation: later(onEvaluation) }),
    ...(onProgress && { onProgress: atOnce(onProgress) }),
    ...(onCompile && { onCompile: atOnce(onCompile) }),
    ...(onMessage && { onMessage: atOnce(onMessage) }),
  };
}
