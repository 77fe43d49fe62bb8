/** Two processes with half of the GPUs each, as on two machines, beside one process with all. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EpochMetrics } from '@flow-grpo/grpo-trainer';
import { createClient, type PjrtBuffer } from '@flow-grpo/pjrt';
import { cluster, configure } from '@flow-grpo/tfjs-backend-xla';
import { readJsonLines } from 'flow-grpo/logging';
import { startDevice } from '../device';
import { runInner } from '../inner';
import { gpusEach, inProcesses, PROCESSES, placeOfProcess } from '../processes';
import { type Measurement, report } from '../reporting';
import { inKeptFolder, inTemporaryFolder } from '../temporary';
import type { Workload } from '../workload';
import { allReduce } from './all-reduce';
import { earlier, programsIn, runner } from './recipe';

/** Seconds within which two clients must have met. */
const START_LIMIT = 120;

/** Tells where there are too few GPUs for processes that share them. */
export function enoughGpus(section: string): boolean {
  if (gpusEach() > 0) return true;
  console.log(`${section} needs two GPUs: XLA for CPUs computes in one process only`);
  return false;
}

export async function hosts(): Promise<void> {
  await hostsAgreement();
  await hostsSum();
  await hostsRecipe();
}

/** Clients that meet, and equal losses and weights. */
export async function hostsAgreement(): Promise<void> {
  if (!enoughGpus('hosts.agreement')) return;
  await inTemporaryFolder(async (folder) => {
    await inProcesses('hostsStart', { folder, limit: START_LIMIT, env: { TF_CPP_MIN_LOG_LEVEL: '0' } });
    await agreement(join(folder, 'tiny'));
  });
}

/** The sum of 1 GiB per device. */
export async function hostsSum(): Promise<void> {
  if (!enoughGpus('hosts.allReduce')) return;
  await inTemporaryFolder(async (folder) => {
    const reduce = { folder, limit: 120, quiet: true };
    const one = await runInner('hostsAllReduce', reduce);
    const two = await inProcesses('hostsAllReduce', reduce);
    const [alone, apart] = [rateOf(one, 'gigabytesPerSecond'), rateOf(two, 'gigabytesPerSecond')];
    const devices = PROCESSES * gpusEach();
    report('hosts.allReduce', {
      devices,
      gigabytesPerSecond: apart,
      oneProcess: alone,
      share: apart / alone,
    });
  });
}

/**
 * The recipe at full size with random weights, beside one process on all GPUs: that of an earlier section where files are
 * kept.
 */
export async function hostsRecipe(): Promise<void> {
  if (!enoughGpus('hosts.recipe')) return;
  await inKeptFolder(async (folder) => {
    const runOf = await runner(folder);
    const alone = earlier(folder, 'all') ?? (await runOf('all'));
    const options = { folder, env: programsIn(folder), limit: 400, quiet: true };
    const [apart] = await inProcesses('recipeRun:hosts', options);
    const imagesPerSecond = Number(apart!.imagesPerSecond);
    report('hosts.recipe', {
      ...apart,
      engine: 'ours',
      case: 'hosts.recipe',
      processes: PROCESSES,
      imagesPerSecond,
      oneProcess: Number(alone.imagesPerSecond),
      share: imagesPerSecond / Number(alone.imagesPerSecond),
    });
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

/** What a run left that must not depend on where it was computed, or how often it was killed. */
export async function outcomeOf(folder: string, variant: string) {
  const output = join(folder, `run-${variant}`);
  const metrics = await readJsonLines<EpochMetrics>(join(output, 'metrics.jsonl'));
  const numbers = (name: string) => metrics.map((epoch) => Number(epoch[name]));
  const file = readFileSync(join(output, 'model.safetensors'));
  const weights = createHash('sha256').update(file).digest('hex');
  return { losses: numbers('loss'), rewards: numbers('reward'), weights };
}

/** The sum of 1 GiB per device, in one process with all GPUs or in several. */
export async function hostsAllReduce(workload: Workload): Promise<void> {
  const place = placeOfProcess();
  const devices = PROCESSES * gpusEach();
  if (place) {
    configure({ distributed: place.distributed });
    await startDevice(devices, place.clientOptions);
  } else await startDevice(devices);
  await allReduce(workload, devices);
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
  const own = program.devices.map((device) => [
    client.bufferFromHost(new Float32Array(n).fill(ids.indexOf(device.id) + 1), 'f32', [1, n], device),
  ]);
  const [[sum]] = program.execute(own) as [[PjrtBuffer]];
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
