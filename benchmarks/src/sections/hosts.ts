/** Two processes with one GPU each, as on two machines, beside one process with both. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EpochMetrics } from '@flow-grpo/grpo-trainer';
import { createClient, type PjrtBuffer } from '@flow-grpo/pjrt';
import { cluster, configure } from '@flow-grpo/tfjs-backend-xla';
import { readJsonLines } from 'flow-grpo/logging';
import { startDevice } from '../device';
import { runInner } from '../inner';
import { machineFacts } from '../machine';
import { inProcesses, PROCESSES, placeOfProcess } from '../processes';
import { type Measurement, report } from '../reporting';
import { inTemporaryFolder } from '../temporary';
import type { Workload } from '../workload';
import { allReduce } from './all-reduce';

/** Seconds within which two clients must have met. */
const START_LIMIT = 120;

export async function hosts(): Promise<void> {
  if (Number(machineFacts().gpus ?? 0) < PROCESSES) {
    console.log('hosts needs two GPUs: XLA for CPUs computes in one process only');
    return;
  }
  await inTemporaryFolder(async (folder) => {
    await inProcesses('hostsStart', { folder, limit: START_LIMIT, env: { TF_CPP_MIN_LOG_LEVEL: '0' } });
    await agreement(join(folder, 'tiny'));
    const reduce = { folder, limit: 120, quiet: true };
    const one = await runInner('hostsAllReduce', reduce);
    const two = await inProcesses('hostsAllReduce', reduce);
    const [alone, apart] = [rateOf(one, 'gigabytesPerSecond'), rateOf(two, 'gigabytesPerSecond')];
    report('hosts.allReduce', { gigabytesPerSecond: apart, oneProcess: alone, share: apart / alone });
    await recipe(join(folder, 'full'));
  });
}

const rateOf = (measured: readonly Measurement[], key: string) => Number(measured.at(-1)?.[key]);

/** A small Show-o2 with all that the recipe has: losses and weights of both ways. */
async function agreement(folder: string): Promise<void> {
  const options = { folder, limit: 300, tiny: true, quiet: true };
  await runInner('recipeFiles', options);
  await runInner('recipeRun:agreeOne', options);
  await inProcesses('recipeRun:agreeHosts', options);
  const [one, two] = await Promise.all(['agreeOne', 'agreeHosts'].map((name) => outcomeOf(folder, name)));
  const largest = (a: readonly number[], b: readonly number[]) =>
    Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
  report('hosts.agreement', {
    equal: one!.weights === two!.weights && `${one!.losses}` === `${two!.losses}`,
    epochs: two!.losses.length,
    largestLossDifference: largest(one!.losses, two!.losses),
    largestRewardDifference: largest(one!.rewards, two!.rewards),
    losses: two!.losses,
    lossesOfOneProcess: one!.losses,
  });
}

async function outcomeOf(folder: string, variant: string) {
  const output = join(folder, `run-${variant}`);
  const metrics = await readJsonLines<EpochMetrics>(join(output, 'metrics.jsonl'));
  const numbers = (name: string) => metrics.map((epoch) => Number(epoch[name]));
  const file = readFileSync(join(output, 'model.safetensors'));
  const weights = createHash('sha256').update(file).digest('hex');
  return { losses: numbers('loss'), rewards: numbers('reward'), weights };
}

/** The recipe at full size with random weights. */
async function recipe(folder: string): Promise<void> {
  const env = { FLOW_GRPO_XLA_CACHE: join(folder, 'programs') };
  const options = { folder, env, limit: 400, quiet: true };
  await runInner('recipeFiles', { ...options, limit: 200 });
  const alone = rateOf(await runInner('recipeRun:all', options), 'imagesPerSecond');
  const [apart] = await inProcesses('recipeRun:hosts', options);
  const imagesPerSecond = Number(apart!.imagesPerSecond);
  report('hosts.recipe', {
    ...apart,
    engine: 'ours',
    case: 'hosts.recipe',
    imagesPerSecond,
    oneProcess: alone,
    share: imagesPerSecond / alone,
  });
}

/** The sum of 1 GiB per device, in one process with all GPUs or in several. */
export async function hostsAllReduce(workload: Workload): Promise<void> {
  const place = placeOfProcess();
  if (place) {
    configure({ distributed: place.distributed });
    await startDevice(PROCESSES, place.clientOptions);
  } else await startDevice(PROCESSES);
  await allReduce(workload);
  await cluster()?.barrier('end');
}

/** A client in each process, and a sum over both; says every step, so that the last line tells where it ended. */
export async function hostsStart(): Promise<void> {
  const { processId: id, distributed, clientOptions } = placeOfProcess()!;
  const started = performance.now();
  const step = (text: string) =>
    console.log(`[process ${id}, ${((performance.now() - started) / 1000).toFixed(2)} s] ${text}`);
  step('joins, and starts a client');
  const client = await createClient({ preallocate: false, options: clientOptions, distributed });
  const clientSeconds = (performance.now() - started) / 1000;
  step(`client on ${client.pluginPath}, API ${JSON.stringify(client.apiVersion)}`);
  for (const device of client.allDevices) {
    step(`device ${device.id}: ${device}, process ${device.processIndex}, local ${device.isLocal}`);
  }
  await client.cluster!.barrier('clients');
  step('all clients are there');
  const ids = client.allDevices.map((device) => device.id);
  const n = 1024;
  const type = `tensor<${ids.length}x${n}xf32>`;
  const text = `module {
    sdy.mesh @mesh = <["data"=${ids.length}]>
    func.func @main(%x: ${type} {sdy.sharding = #sdy.sharding<@mesh, [{"data"}, {}]>})
        -> (tensor<${n}xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}) {
      %z = stablehlo.constant dense<0.0> : tensor<f32>
      %0 = stablehlo.reduce(%x init: %z) applies stablehlo.add across dimensions = [0] : (${type}, tensor<f32>) -> tensor<${n}xf32>
      return %0 : tensor<${n}xf32>
    }
  }`;
  const program = await client.compile(text, { numPartitions: ids.length, deviceAssignment: [ids] });
  step(`compiled; runs here on ${program.devices.join(', ')}`);
  const own = client.bufferFromHost(new Float32Array(n).fill(id + 1), 'f32', [1, n]);
  const [[sum]] = program.execute([[own]]) as [[PjrtBuffer]];
  step('sum dispatched');
  // Blocking, so that the callbacks of the first collective come while the event loop stands still.
  const values = new Float32Array(sum.toHostSync().buffer);
  const expected = (ids.length * (ids.length + 1)) / 2;
  const right = values.every((value) => value === expected);
  step(`sum read: ${values[0]}, expected ${expected}`);
  if (id === 0) report('hosts.start', { right, clientSeconds, devices: ids.length });
  await client.cluster!.barrier('end');
  client.dispose();
  step('ended');
}
