import { arch, cpus, freemem, platform, totalmem } from 'node:os';
import type { PjrtClient } from './client';
import { createClient, pluginOptions } from './create-client';
import { formatBytes, PjrtOutOfMemoryError } from './errors';
import { awaitFreeMemory } from './gpu-memory';
import {
  type FindPluginOptions,
  type FoundPlugin,
  findPlugin,
  listPlugins,
  NoPluginError,
  nvidiaGpuPresent,
} from './plugins/find';

const SIZE = 1024;
const SELF_TEST_MS = 1000;

/** Prints what a program would find here, and tests it. Returns whether XLA works. */
export async function runDoctor(options: FindPluginOptions, print: (line: string) => void): Promise<boolean> {
  const hasGpu = nvidiaGpuPresent();
  print(
    `Machine   ${platform()} ${arch()}, ${cpus().length} CPUs, ${formatBytes(freemem())} of ${formatBytes(totalmem())} free, Node ${process.versions.node}`,
  );
  print(`GPU       ${hasGpu ? 'an NVIDIA driver is loaded' : 'no NVIDIA driver'}`);
  let chosen: ReturnType<typeof findPlugin>;
  try {
    const plugins = listPlugins(options);
    for (const plugin of plugins) print(`Found     ${plugin.platform} (${plugin.source}) ${plugin.path}`);
    if (plugins.length === 0) print('Found     no plugin');
    chosen = findPlugin(options);
  } catch (error) {
    print(`Problem   ${(error as Error).message}`);
    if (error instanceof NoPluginError && options.platform !== 'cuda' && hasGpu) {
      print('          For the GPU: npx pjrt install cuda13');
    }
    return false;
  }
  print(`Using     ${chosen.path}`);
  let crowded: string | undefined;
  let client: PjrtClient;
  let started: number;
  try {
    crowded = await crowding(chosen);
    if (crowded !== undefined) print(`Problem   ${crowded}`);
    started = performance.now();
    client = await createClient({ plugin: chosen.path, preallocate: false });
  } catch (error) {
    print(`Problem   ${(error as Error).message}`);
    print(`          ${adviceFor(chosen.platform)}`);
    return false;
  }
  try {
    const { major, minor } = client.apiVersion;
    print(
      `Client    ${client.platformName}, C API ${major}.${minor}, started in ${(performance.now() - started).toFixed(0)} ms`,
    );
    const version = client.platformVersion.split('\n')[0];
    if (version !== client.platformName) print(`Version   ${version}`);
    for (const device of client.devices) {
      const stats = device.memoryStats();
      const memory =
        stats?.bytesLimit === undefined
          ? 'memory not counted by the plugin'
          : `${formatBytes(stats.bytesLimit - stats.bytesInUse)} of ${formatBytes(stats.bytesLimit)} free`;
      print(`Device ${device.id}  ${device.kind}, ${memory}`);
    }
    const gigaflops = await selfTest(client);
    print(`Test      f32 ${SIZE}×${SIZE} matmul: correct, ${gigaflops.toFixed(0)} GFLOP/s`);
  } catch (error) {
    print(`Problem   ${(error as Error).message}`);
    print(`          ${adviceFor(chosen.platform)}`);
    return false;
  } finally {
    client.dispose();
  }
  if (hasGpu && chosen.platform === 'cpu' && options.platform === undefined && options.plugin === undefined) {
    print('Advice    This machine has a GPU that programs will not use. Run: npx pjrt install cuda13');
  }
  return crowded === undefined;
}

/** Why a program would not get its memory of a GPU now; undefined where it would. */
async function crowding(plugin: FoundPlugin): Promise<string | undefined> {
  if (plugin.platform !== 'cuda') return undefined;
  try {
    await awaitFreeMemory(pluginOptions(plugin, {}), { patience: 0 });
    return undefined;
  } catch (error) {
    if (!(error instanceof PjrtOutOfMemoryError)) throw error;
    return error.message;
  }
}

const adviceFor = (kind: 'cpu' | 'cuda') =>
  kind === 'cuda'
    ? 'The CUDA 13 plugin needs NVIDIA driver 580 or later (nvidia-smi shows yours). npx pjrt install cuda13 brings the other libraries.'
    : 'Install the plugin that this package is tested with: npx pjrt install cpu';

/** Multiplies matrices for a second and checks the product. @throws when it is wrong. */
async function selfTest(client: PjrtClient): Promise<number> {
  const type = `tensor<${SIZE}x${SIZE}xf32>`;
  const executable = await client.compile(`module {
    func.func @main(%a: ${type}, %b: ${type}) -> ${type} {
      %c = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0] : (${type}, ${type}) -> ${type}
      return %c : ${type}
    }
  }`);
  const host = Float32Array.from({ length: SIZE * SIZE }, (_, i) => ((i * 7) % 5) - 2);
  const a = await client.bufferFromHostAsync(host, 'f32', [SIZE, SIZE]);
  try {
    let runs = 0;
    let product = new Float32Array();
    const started = performance.now();
    do {
      const [[c]] = executable.execute([[a, a]]) as [[NonNullable<ReturnType<typeof client.bufferFromHost>>]];
      await c.ready();
      if (runs++ === 0) product = new Float32Array((await c.toHost()).buffer);
      c.dispose();
    } while (performance.now() - started < SELF_TEST_MS);
    const seconds = (performance.now() - started) / 1000;
    for (const at of [0, SIZE + 1, SIZE * SIZE - 1]) checkEntry(host, product, at);
    return (2 * SIZE ** 3 * runs) / seconds / 1e9;
  } finally {
    a.dispose();
    executable.dispose();
  }
}

/** The entries are small whole numbers, so float32 must give them exactly. */
function checkEntry(host: Float32Array, product: Float32Array, at: number): void {
  const [row, column] = [Math.floor(at / SIZE), at % SIZE];
  let expected = 0;
  for (let k = 0; k < SIZE; k++) expected += host[row * SIZE + k]! * host[k * SIZE + column]!;
  if (product[at] !== expected) {
    throw new Error(
      `The self-test's matmul is wrong at [${row}, ${column}]: ${product[at]}, expected ${expected}.`,
    );
  }
}
