/** Two processes with one GPU each, as on two machines, beside one process with both. */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { createClient, type PjrtBuffer } from '@flow-grpo/pjrt';
import { runInner } from '../inner';
import { machineFacts } from '../machine';
import { report } from '../reporting';
import { inTemporaryFolder } from '../temporary';
import type { Workload } from '../workload';

const PROCESSES = 2;
/** Seconds within which two clients must have met. */
const START_LIMIT = 120;

export async function hosts(): Promise<void> {
  if (Number(machineFacts().gpus ?? 0) < PROCESSES) {
    console.log('hosts needs two GPUs: XLA for CPUs computes in one process only');
    return;
  }
  await inTemporaryFolder(async (folder) => {
    await inProcesses(folder, 'hostsStart', START_LIMIT);
  });
}

/** Runs a part in both processes at once; each has its place in the environment. */
async function inProcesses(folder: string, part: string, limit: number): Promise<void> {
  const port = await freePort();
  const secret = randomBytes(16).toString('hex');
  await Promise.all(
    Array.from({ length: PROCESSES }, (_, id) => {
      const env = { HOSTS_PORT: `${port}`, HOSTS_SECRET: secret, TF_CPP_MIN_LOG_LEVEL: '0' };
      return runInner(`${part}:${id}`, { folder, limit, env });
    }),
  );
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A client in each process, and a sum over both; says every step, so that the last line tells where it ended. */
export async function hostsStart(_workload: Workload, _folder: string, argument: string): Promise<void> {
  const id = Number(argument);
  const started = performance.now();
  const step = (text: string) =>
    console.log(`[process ${id}, ${((performance.now() - started) / 1000).toFixed(2)} s] ${text}`);
  step('joins, and starts a client');
  const client = await createClient({
    preallocate: false,
    options: { visible_devices: [id] },
    distributed: {
      coordinator: `127.0.0.1:${process.env.HOSTS_PORT}`,
      processId: id,
      numProcesses: PROCESSES,
      secret: process.env.HOSTS_SECRET!,
    },
  });
  const clientSeconds = (performance.now() - started) / 1000;
  step(`client on ${client.pluginPath}, API ${JSON.stringify(client.apiVersion)}`);
  for (const device of client.allDevices) {
    step(`device ${device.id}: ${device}, process ${device.processIndex}, local ${device.isLocal}`);
  }
  await client.cluster!.barrier('clients');
  step('all clients are there');
  const ids = client.allDevices.map((device) => device.id);
  const n = 1024;
  const text = `module {
    sdy.mesh @mesh = <["data"=${ids.length}]>
    func.func @main(%x: tensor<${ids.length}x${n}xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"data"}, {}]>})
        -> (tensor<${n}xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}) {
      %z = stablehlo.constant dense<0.0> : tensor<f32>
      %0 = stablehlo.reduce(%x init: %z) applies stablehlo.add across dimensions = [0] : (tensor<${ids.length}x${n}xf32>, tensor<f32>) -> tensor<${n}xf32>
      return %0 : tensor<${n}xf32>
    }
  }`;
  const program = await client.compile(text, { numPartitions: ids.length, deviceAssignment: [ids] });
  step(
    `compiled; runs here on ${program.devices.join(', ')}; parameters ${JSON.stringify(program.signature.parameters)}`,
  );
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
