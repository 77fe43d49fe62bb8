/** The sum over devices of one large tensor each. */
import {
  allReduce as allReduceOver,
  deviceInfo,
  jit,
  mesh,
  random,
  shard,
  shardMap,
} from '@flow-grpo/tfjs-jit';
import type * as tf from '@tensorflow/tfjs-core';
import { report } from '../reporting';
import { timedCarry } from '../timing';
import type { Workload } from '../workload';

/** Calls before one wait; values double with each, for which float32 has room. */
const COUNT = 10;

/** @param devices how many, two by default */
export async function allReduce({ allReduce: n, rounds }: Workload, devices = 2): Promise<void> {
  if (deviceInfo().length < devices) {
    console.log(`allReduce needs ${devices} devices; there are ${deviceInfo().length}`);
    return;
  }
  const over = mesh({ data: devices });
  const whole = random.normal(random.key(0), [devices, n]);
  const x = shard(whole, over, ['data']);
  whole.dispose();
  const sum = shardMap((own: tf.Tensor) => [allReduceOver(own, 'data')], {
    mesh: over,
    inSpecs: [['data']],
    outSpecs: [['data']],
  });
  // In place, as NCCL's users do it: XLA reduces a copy of an argument that it was not given.
  const step = jit((own: tf.Tensor) => sum(own)[0]!, { donate: [0], name: 'allReduce' });
  const queue = (start: { own: tf.Tensor }) => {
    let { own } = start;
    for (let call = 0; call < COUNT; call++) own = step(own);
    return { own };
  };
  const { times: queued } = await timedCarry(queue, { own: x }, { rounds });
  const times = {
    ...queued,
    ms: queued.ms / COUNT,
    msMin: queued.msMin / COUNT,
    msMax: queued.msMax / COUNT,
  };
  // Bytes that cross each device's links in either direction: 2·(N − 1)/N of the tensor.
  const bytes = (4 * n * 2 * (devices - 1)) / devices;
  report('allReduce.float32', { ...times, bytes: 4 * n, gigabytesPerSecond: bytes / times.ms / 1e6 });
}
