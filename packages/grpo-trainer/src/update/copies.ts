/** How the copies of the trained weights move. */
import { jit, shardLike } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { WeightCopy } from '../algorithms/algorithm';
import { mapParams } from '../maths/adamw';
import type { Params } from '../policy';

/** The share of the trained weights in each copy that moves at `when`, 1 − decay, by name. */
export function copyRates(
  copies: Readonly<Record<string, WeightCopy>>,
  when: 'update' | 'epoch',
  updates: number,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(copies).flatMap(([name, copy]) =>
      copy.moves === when ? [[name, 1 - copy.decay(updates)]] : [],
    ),
  );
}

/**
 * copy + rate · (trained − copy) for every weight; equal to the trained weights, bit for bit, at rate 1.
 *
 * @param rate scalar, 1 − decay
 */
export function moveCopy(copy: Params, trained: Params, rate: tf.Tensor): Params {
  const all = tf.greaterEqual(rate, 1);
  return mapParams(copy, (value, name) => {
    const target = trained[name] as tf.Tensor;
    const between = tf.add(value, tf.mul(rate, tf.sub(target, value)));
    return shardLike(tf.where(all, target, between), value);
  });
}

/** Moves the copies that move after an epoch; what it returns takes the place of those given, which are gone. */
export function createCopyMover(copies: Readonly<Record<string, WeightCopy>>) {
  const move = jit(
    function moveCopyAfterEpoch(copy: Params, trained: Params, rate: tf.Tensor): Params {
      return moveCopy(copy, trained, rate);
    },
    { donate: [0] },
  );
  return (
    values: Readonly<Record<string, Params>>,
    trained: Params,
    updates: number,
  ): Record<string, Params> => {
    const moved = { ...values };
    for (const [name, share] of Object.entries(copyRates(copies, 'epoch', updates))) {
      if (share === 0) continue;
      const rate = tf.scalar(share);
      moved[name] = move(values[name]!, trained, rate);
      tf.dispose([rate]);
      tf.dispose(values[name]!);
    }
    return moved;
  };
}
