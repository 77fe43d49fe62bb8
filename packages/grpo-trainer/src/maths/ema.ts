/** Exponential moving average of the trained parameters, with flow_grpo's warm-up. */
import * as tf from '@tensorflow/tfjs-core';
import type { Params } from '../policy';
import { mapParams } from './adamw';

/**
 * min((1 + step) / (10 + step), decay): short memory at first, so that the average does not hang on to the
 * start. Source: flow_grpo/ema.py.
 */
export function emaDecay(step: number, decay: number): number {
  return Math.min((1 + step) / (10 + step), decay);
}

/** Whether the average moves at `step` (0-based): every `interval` steps, counted from 1. */
export function emaDue(step: number, interval: number): boolean {
  return (step + 1) % interval === 0;
}

/**
 * ema + (1 − decay)·(p − ema) for every parameter.
 *
 * @param rate 1 − decay as a scalar tensor, so that a compiled update serves every step.
 */
export function emaUpdate(ema: Params, params: Params, rate: tf.Tensor): Params {
  return mapParams(ema, (average, name) =>
    tf.add(average, tf.mul(rate, tf.sub(params[name] as tf.Tensor, average))),
  );
}
