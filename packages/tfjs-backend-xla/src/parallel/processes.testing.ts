/** What processes.test.ts runs in each process. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Emulation } from '@flow-grpo/test-support/processes';
import {
  allReduce,
  deviceInfo,
  jit,
  mesh,
  random,
  readShards,
  replicate,
  scan,
  shard,
  shardingOf,
  shardMap,
  takeLocal,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { cluster, configure } from '../index';

const { client, processes, devicesPerProcess } = workerData as Emulation;

configure({ ...client, compilationCache: false });
await tf.setBackend('xla');
const list = async (x: tf.Tensor) => [...(await x.data())];
const failing = (work: () => unknown) => {
  try {
    work();
    return 'nothing';
  } catch (error) {
    return (error as Error).message;
  }
};

const size = processes * devicesPerProcess;
const over = mesh({ data: size });
const whole = tf.reshape(tf.range(0, 6 * size), [2 * size, 3]);
const x = shard(whole, over, ['data']);
const total = jit((a: tf.Tensor) => replicate(tf.sum(a, 0), over))(x);
const doubled = jit((a: tf.Tensor) => tf.mul(a, 2))(x);
const eager = tf.add(x, whole); // a mesh's data and a process's own
const gathered = replicate(doubled, over);
const transposed = shard(shard(tf.reshape(tf.range(0, size * size), [size, size]), over, ['data']), over, [
  null,
  'data',
]);
const summed = shardMap((own: tf.Tensor) => [allReduce(tf.sum(own), 'data')], {
  mesh: over,
  inSpecs: [['data']],
  outSpecs: [[]],
})(x)[0]!;
const weights = replicate(random.normal(random.key(3), [3, 3]), over);
const gradient = jit((w: tf.Tensor, a: tf.Tensor) => {
  const loss = (value: tf.Tensor) =>
    tf.mean(
      scan(
        (c: tf.Tensor, _: tf.Tensor) => [tf.tanh(tf.matMul(c as tf.Tensor2D, value as tf.Tensor2D)), c],
        tf.div(a, 6 * size),
        tf.zeros([2]),
      )[0],
    ) as tf.Scalar;
  return replicate(tf.grad(loss)(w), over);
})(weights, x);

const shards = async (y: tf.Tensor) =>
  (await readShards(y)).map(({ device, start, shape }) => ({ device, start, shape }));

const result = {
  devices: deviceInfo().map(({ process, isLocal }) => ({ process, isLocal })),
  smaller: failing(() => mesh({ data: size - 1 })),
  total: await list(total),
  summed: await list(summed),
  gathered: await list(gathered),
  gradient: await list(gradient),
  unread: failing(() => doubled.dataSync()),
  unreadLater: await doubled.data().then(
    () => 'nothing',
    (error: Error) => error.message,
  ),
  shards: await shards(x),
  shardsOfColumns: await shards(transposed),
  shardsOfReplicated: await shards(weights),
  eager: await list(replicate(eager, over)),
  columns: await list(replicate(transposed, over)),
  local: await (async () => {
    const taken = takeLocal(doubled);
    // Programs of this process alone, while the others run others.
    const mine = jit((a: tf.Tensor) => tf.add(a, cluster()!.processId))(taken);
    return {
      shape: taken.shape,
      mesh: shardingOf(taken)?.mesh ?? null,
      values: await list(taken),
      mine: await list(mine),
      gone: failing(() => doubled.dataSync()),
      single: await list(tf.sum(taken, 0)),
    };
  })(),
};
parentPort!.postMessage(result);
await cluster()!.barrier('end');
process.exit(0);
