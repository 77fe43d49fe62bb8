import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClient } from './create-client';
import { joinCluster } from './distributed/cluster';
import { runDoctor } from './doctor';
import { PjrtOutOfMemoryError } from './errors';
import { awaitFreeMemory, gpuMemory, memoryFraction, visibleGpus } from './gpu-memory';
import { findPlugin } from './plugins/find';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pjrt-gpus-'));
  vi.stubEnv('FLOW_GRPO_XLA_MEMORY_FRACTION', '');
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

const H100 = 'NVIDIA H100 80GB HBM3';
const line = (
  index: number,
  free: number | string,
  {
    name = H100,
    total = 81559,
    mig = 'Disabled',
  }: { name?: string; total?: number | string; mig?: string } = {},
) => `${index}, GPU-${index}${index}aa-bb, ${name}, ${total}, ${free}, ${mig}`;

/** An nvidia-smi that prints these lines, one list a call and the last again; the environment that has it. */
function nvidiaSmi(...calls: string[][]) {
  const script = `#!/bin/sh
[ "$1" = "--query-gpu=index,uuid,name,memory.total,memory.free,mig.mode.current" ] || exit 3
echo >> "${folder}/calls"
call=$(wc -l < "${folder}/calls")
[ "$call" -gt ${calls.length} ] && call=${calls.length}
cat "${folder}/$call"
`;
  for (const [i, lines] of calls.entries()) writeFileSync(join(folder, `${i + 1}`), `${lines.join('\n')}\n`);
  writeFileSync(join(folder, 'nvidia-smi'), script);
  chmodSync(join(folder, 'nvidia-smi'), 0o755);
  return { PATH: `${folder}${delimiter}${process.env.PATH}` };
}

const refusal = (environment: Record<string, string>, options = {}) =>
  awaitFreeMemory(options, { environment, patience: 0 }).then(
    () => undefined,
    (error: unknown) => error as PjrtOutOfMemoryError,
  );

describe('a GPU that another process fills', () => {
  it('is refused with what is free, what is asked for, and what to do', async () => {
    const error = await refusal(nvidiaSmi([line(0, 80000), line(1, 30000)]));
    expect(error).toBeInstanceOf(PjrtOutOfMemoryError);
    expect(error).toMatchObject({
      message:
        `createClient: GPU 1 (${H100}) has 29.3 GiB of 79.6 GiB free, and XLA takes 59.7 GiB (0.75 of it) when it starts: ` +
        'another process holds the rest (nvidia-smi lists them). End that process, choose other GPUs with CUDA_VISIBLE_DEVICES, ' +
        'or take less of it (FLOW_GRPO_XLA_MEMORY_FRACTION=0.34, or the option memory_fraction)',
      requestedBytes: 0.75 * 81559 * 2 ** 20,
      freeBytes: 30000 * 2 ** 20,
    });
  });

  it('is not told to take less where next to nothing is left', async () => {
    const error = await refusal(nvidiaSmi([line(0, 900)]));
    expect(error?.message).toMatch(/^createClient: GPU 0 .*CUDA_VISIBLE_DEVICES$/);
  });

  it('will do where what is asked for is free, is taken as needed, or the GPU is not among those chosen', async () => {
    const environment = nvidiaSmi([line(0, 80000), line(1, 30000)]);
    expect(await refusal(environment, { memory_fraction: 0.3 })).toBeUndefined();
    expect(await refusal(environment, { preallocate: false })).toBeUndefined();
    expect(await refusal(environment, { allocator: 'platform' })).toBeUndefined();
    expect(await refusal(environment, { visible_devices: [0] })).toBeUndefined();
    expect(await refusal(environment, { visible_devices: [1] })).toBeDefined();
    expect(await refusal({ ...environment, CUDA_VISIBLE_DEVICES: '0' })).toBeUndefined();
    expect(
      await refusal({ ...environment, CUDA_VISIBLE_DEVICES: '1,0' }, { visible_devices: [1] }),
    ).toBeUndefined();
  });

  it('is not seen in what the driver keeps of a GPU that no process uses', async () => {
    expect(await refusal(nvidiaSmi([line(0, 80994)]), { memory_fraction: 1 })).toBeUndefined();
    expect(await refusal(nvidiaSmi([line(0, 70000)]), { memory_fraction: 1 })).toBeDefined();
  });

  it('is waited for while a process that has ended gives its memory back', async () => {
    const environment = nvidiaSmi([line(0, 900)], [line(0, 900)], [line(0, 80000)]);
    await awaitFreeMemory({}, { environment, patience: 600_000 });
    expect(await gpuMemory(environment)).toMatchObject([{ free: 80000 * 2 ** 20 }]);
  });

  it('is refused, and by the doctor', async () => {
    const plugin = cudaPlugin();
    vi.stubEnv('PATH', nvidiaSmi([line(0, 30000)]).PATH);
    vi.stubEnv('FLOW_GRPO_XLA_MEMORY_FRACTION', '0.9');
    impatience();
    await expect(createClient({ plugin })).rejects.toThrow(
      /GPU 0 .* has 29\.3 GiB .*takes 71\.7 GiB \(0\.9 of it\)/,
    );
    const lines: string[] = [];
    expect(await runDoctor({ plugin }, (text) => lines.push(text))).toBe(false);
    expect(lines.join('\n')).toMatch(/^Problem {3}createClient: GPU 0 .* has 29\.3 GiB/m);
    vi.stubEnv('FLOW_GRPO_XLA_MEMORY_FRACTION', '90%');
    const said: string[] = [];
    expect(await runDoctor({ plugin }, (text) => said.push(text))).toBe(false);
    expect(said.filter((text) => text.includes('FLOW_GRPO_XLA_MEMORY_FRACTION is 90%'))).toHaveLength(1);
    vi.stubEnv('FLOW_GRPO_XLA_MEMORY_FRACTION', '0.9');
    // Where there is room, the plugin is given the share; this one computes on CPUs and refuses it.
    vi.stubEnv('PATH', nvidiaSmi([line(0, 80000)]).PATH);
    await expect(createClient({ plugin })).rejects.toThrow(/memory_fraction/);
  });
});

/** A plugin that goes for CUDA's. */
function cudaPlugin(): string {
  const plugin = join(folder, 'xla_cuda_plugin.so');
  symlinkSync(findPlugin({ platform: 'cpu' }).path, plugin);
  return plugin;
}

/** Time that has passed whenever somebody looks. */
function impatience() {
  let now = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => (now += 60_000));
}

it('a process of several that is refused ends the wait of the others, who learn which it was', async () => {
  vi.stubEnv('PATH', nvidiaSmi([line(0, 30000)]).PATH);
  const run = { secret: 'a secret of tests', numProcesses: 2 };
  const free = await joinCluster({ ...run, coordinator: '127.0.0.1:0', processId: 0, numProcesses: 1 });
  free.leave();
  const coordinator = `127.0.0.1:${free.port}`;
  let lost = (_reason: string) => {};
  const told = new Promise<string>((resolve) => {
    lost = resolve;
  });
  const other = joinCluster({ ...run, coordinator, processId: 0, onPeerLost: (reason) => lost(reason) });
  impatience();
  await expect(
    createClient({ plugin: cudaPlugin(), distributed: { ...run, coordinator, processId: 1 } }),
  ).rejects.toThrow(/GPU 0 .* has 29\.3 GiB/);
  expect(await told).toMatch(/process 1/);
  (await other).leave();
});

describe('nothing is refused where the driver does not tell', () => {
  it('as where there is no nvidia-smi, or it fails, or its GPU shares the memory of the machine', async () => {
    expect(await gpuMemory({ PATH: folder })).toEqual([]);
    const shared = line(0, '[N/A]', { name: 'NVIDIA GB10', total: '[N/A]', mig: '[N/A]' });
    expect(await gpuMemory(nvidiaSmi([shared]))).toEqual([]);
    expect(
      await gpuMemory(nvidiaSmi(['NVIDIA-SMI has failed because it could not talk to the driver.'])),
    ).toEqual([]);
    const failing = `#!/bin/sh\necho '${line(0, 1)}'\nexit 9\n`;
    writeFileSync(join(folder, 'nvidia-smi'), failing);
    expect(await gpuMemory({ PATH: `${folder}${delimiter}${process.env.PATH}` })).toEqual([]);
  });

  it('or a GPU is in parts (MIG), of which a process gets one', async () => {
    expect(await gpuMemory(nvidiaSmi([line(0, 1), line(1, 1, { mig: 'Enabled' })]))).toEqual([]);
    expect(await gpuMemory(nvidiaSmi([line(0, 1, { mig: '[N/A]' })]))).toHaveLength(1);
  });

  it('and where names do not say which GPU is meant', async () => {
    const alike = await gpuMemory(nvidiaSmi([line(0, 1), line(1, 2)]));
    const mixed = await gpuMemory(nvidiaSmi([line(0, 1), line(1, 2, { name: 'NVIDIA A2' })]));
    const indices = (gpus: typeof alike, environment = {}, chosen?: number[]) =>
      visibleGpus(gpus, environment, chosen).map(({ index }) => index);
    expect(indices(alike)).toEqual([0, 1]);
    expect(indices(alike, { CUDA_VISIBLE_DEVICES: ' 1, 0 ' })).toEqual([1, 0]);
    expect(indices(alike, { CUDA_VISIBLE_DEVICES: '' })).toEqual([]);
    expect(indices(alike, { CUDA_VISIBLE_DEVICES: 'GPU-11' })).toEqual([1]);
    expect(indices(alike, { CUDA_VISIBLE_DEVICES: 'MIG-11' })).toEqual([]);
    expect(indices(alike, {}, [1, 5])).toEqual([1]);
    // CUDA shows what is named before the first name that it does not know.
    expect(indices(alike, { CUDA_VISIBLE_DEVICES: '1,-1,0' })).toEqual([1]);
    expect(indices(alike, { CUDA_VISIBLE_DEVICES: '1,2,0' })).toEqual([1]);
    expect(indices(alike, { CUDA_VISIBLE_DEVICES: 'NoDevFiles' })).toEqual([]);
    expect(indices(mixed, { CUDA_VISIBLE_DEVICES: '0,GPU-11aa' })).toEqual([1]);
    expect(indices(mixed)).toEqual([]);
    expect(indices(mixed, { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' })).toEqual([0, 1]);
    expect(indices(mixed, { CUDA_VISIBLE_DEVICES: 'GPU-11aa' })).toEqual([1]);
  });
});

it.each([
  ['0.4', 0.4],
  ['1', 1],
  ['', undefined],
])('FLOW_GRPO_XLA_MEMORY_FRACTION=%o grants %o', (text, fraction) => {
  expect(memoryFraction({ FLOW_GRPO_XLA_MEMORY_FRACTION: text })).toBe(fraction);
});

it.each(['0', '-1', '1.5', '40%', 'all', ' '])('FLOW_GRPO_XLA_MEMORY_FRACTION=%o is refused', (text) => {
  expect(() => memoryFraction({ FLOW_GRPO_XLA_MEMORY_FRACTION: text })).toThrow(
    `FLOW_GRPO_XLA_MEMORY_FRACTION is ${text}; it must be a number above 0 and at most 1`,
  );
});
