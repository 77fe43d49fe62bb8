/** What a call costs the host, whatever the device does. */
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { report } from '../reporting';
import { timedDispatch, timedMany } from '../timing';
import type { Workload } from '../workload';

const CALLS = 200;

export async function dispatch({ parameters, rounds }: Workload): Promise<void> {
  const x = tf.ones([8]);
  x.dataSync();
  const eager = await timedDispatch(() => tf.neg(x), CALLS, { rounds });
  report('dispatch.eager', { ...eager, microseconds: 1000 * eager.ms });

  const small = jit((x: tf.Tensor) => tf.neg(x));
  const jitted = await timedDispatch(() => small(x), CALLS, { rounds });
  report('dispatch.jitted', { ...jitted, microseconds: 1000 * jitted.ms });

  const round = await timedMany(() => small(x), 1, { rounds: 10 * rounds });
  report('dispatch.roundTrip', { ...round, microseconds: 1000 * round.ms });

  const many = Object.fromEntries(
    Array.from({ length: parameters }, (_, i) => [`w${i}`, tf.add(tf.ones([8]), i)]),
  );
  const wide = jit((weights: Record<string, tf.Tensor>) =>
    tf.add(weights.w0!, weights[`w${parameters - 1}`]!),
  );
  const times = await timedDispatch(() => wide(many), CALLS, { rounds });
  report('dispatch.manyParameters', { ...times, parameters });
}
