/** `flow-grpo doctor --distributed`: what several processes need of their machines and of the network between them. */
import { hostname } from 'node:os';
import { cluster, pluginInfo } from '@flow-grpo/tfjs-backend-xla';
import { allReduce, deviceInfo, jit, mesh, replicate, shard, shardMap } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { compareFacts, type ProcessFacts } from './facts';
import { ncclVersion, nvidiaDriver } from './versions';

/** Float32 numbers that each device gives to the sum: 64 MiB. */
const NUMBERS = 2 ** 24;
const ROUNDS = 5;

/**
 * Compares the processes that have joined, and has their devices sum; called in all of them.
 *
 * @returns the rows of a table, and what is wrong: the same in every process
 */
export async function checkProcesses(
  version: string,
): Promise<{ rows: [string, string][]; problems: string[] }> {
  const group = cluster()!;
  await group.barrier('doctor');
  const facts = await group.gatherJson('facts', ownFacts(version));
  const { rows, problems } = compareFacts(facts);
  const { right, gigabytesPerSecond } = await sumOverAll();
  rows.push([
    'all-reduce',
    right ? `64 MiB per device: correct, ${gigabytesPerSecond.toFixed(1)} GB/s per device` : 'wrong sums',
  ]);
  if (!right) problems.push('the sum over all devices is wrong: look at the log of NCCL (NCCL_DEBUG=INFO)');
  return { rows, problems };
}

function ownFacts(version: string): ProcessFacts {
  const { path, version: plugin, api } = pluginInfo();
  const own = deviceInfo().filter(({ isLocal }) => isLocal);
  const driver = nvidiaDriver();
  const nccl = ncclVersion(path);
  return {
    host: hostname(),
    pid: process.pid,
    time: Date.now(),
    versions: {
      'flow-grpo': version,
      Node: process.version,
      plugin: `${plugin.split('\n')[0]}, C API ${api}`,
      ...(driver && { driver }),
      ...(nccl && { NCCL: nccl }),
    },
    devices: `${own.length} × ${own[0]?.kind}`,
  };
}

/** Every device gives its number plus 1, many times over. */
async function sumOverAll(): Promise<{ right: boolean; gigabytesPerSecond: number }> {
  const count = deviceInfo().length;
  const over = mesh({ data: count });
  const numbers = tf.reshape(tf.range(1, count + 1), [count, 1]);
  const given = shard(numbers, over, ['data']);
  const filled = jit((x: tf.Tensor) => tf.mul(x, tf.ones([1, NUMBERS])))(given);
  const sum = shardMap((own: tf.Tensor) => [allReduce(own, 'data')], {
    mesh: over,
    inSpecs: [['data']],
    outSpecs: [['data']],
  });
  const first = jit((x: tf.Tensor) => replicate(tf.slice(x, [0, 0], [count, 1]), over));
  const once = async () => {
    const whole = sum(filled)[0]!;
    const read = first(whole);
    const values = [...(await read.data())];
    tf.dispose([whole, read]);
    return values;
  };
  const values = await once(); // compiles, and connects
  const started = performance.now();
  for (let round = 0; round < ROUNDS; round++) await once();
  const seconds = (performance.now() - started) / 1000 / ROUNDS;
  tf.dispose([numbers, given, filled]);
  const expected = (count * (count + 1)) / 2;
  const bytes = (4 * NUMBERS * 2 * (count - 1)) / count;
  return { right: values.every((value) => value === expected), gigabytesPerSecond: bytes / seconds / 1e9 };
}
