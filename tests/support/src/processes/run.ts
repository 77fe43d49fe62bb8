/** Runs a program as the processes of a run, which are threads here: see emulated-api.ts. */
import { spawn } from 'node:child_process';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { findPlugin } from '../../../../packages/pjrt/src/plugins/find';
import { bundleFolder, bundleOptions, copyThreads } from '../bundle';

/** What each thread gets as `workerData`. */
export interface Emulation {
  readonly id: number;
  readonly processes: number;
  readonly devicesPerProcess: number;
  readonly memory: SharedArrayBuffer;
  /** What the test gave. */
  readonly argument: unknown;
  /** Arguments of `configure` and `createClient`. */
  readonly client: {
    readonly plugin: string;
    readonly distributed: {
      readonly coordinator: string;
      readonly processId: number;
      readonly numProcesses: number;
      readonly secret: string;
    };
  };
}

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** Puts emulated-api.ts in the place of pjrt's api.ts, for all but itself. */
const emulate: Plugin = {
  name: 'emulated processes',
  setup: ({ onResolve }) =>
    onResolve({ filter: /\/api$/ }, ({ importer }) =>
      importer.includes('/packages/pjrt/src/') ? { path: path('./emulated-api.ts') } : undefined,
    ),
};

/** A bundled program that `run` starts as several processes. */
export interface ProcessesProgram {
  /**
   * What each process gave to `postMessage` of its parent port, once.
   *
   * @throws what one of them threw, or wrote to stderr before it ended
   */
  run<T>(options: { processes: number; devicesPerProcess: number; argument?: unknown }): Promise<T[]>;
  dispose(): void;
}

/**
 * @param workspace a package's folder, where the program finds what that depends on
 * @param entry absolute path of a TypeScript file, run in a thread for each process
 */
export async function processesProgram(workspace: string, entry: string): Promise<ProcessesProgram> {
  const folder = bundleFolder(workspace);
  const options = bundleOptions(entry);
  await build({ ...options, outfile: join(folder, 'process.mjs'), plugins: [emulate, ...options.plugins] });
  copyThreads(folder);
  // By its name a plugin that takes several processes.
  const plugin = join(folder, 'emulated_cuda_plugin.so');
  symlinkSync(findPlugin({ platform: 'cpu' }).path, plugin);
  writeFileSync(join(folder, 'main.mjs'), MAIN);
  writeFileSync(join(folder, 'thread.mjs'), THREAD);
  return {
    async run<T>({ processes, devicesPerProcess, argument }: Parameters<ProcessesProgram['run']>[0]) {
      const given = JSON.stringify({ processes, devicesPerProcess, argument, plugin });
      const devices = processes * devicesPerProcess;
      const child = spawn(process.execPath, [join(folder, 'main.mjs'), given], {
        // Collectives hold a thread per device: see pjrt's createClient.
        env: { ...process.env, NPROC: `${32 * devices}` },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (text) => (stdout += text));
      child.stderr.on('data', (text) => (stderr += text));
      const [status, signal] = await new Promise<[number | null, string | null]>((resolve) =>
        child.once('close', (...ended) => resolve(ended)),
      );
      if (status !== 0) throw new Error(`the processes ended with ${signal ?? status}: ${stderr}`);
      const line = stdout.split('\n').findLast((text) => text.startsWith('results '));
      return JSON.parse(line!.slice('results '.length)) as T[];
    },
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Says what ends it before the others learn that it is gone and end the process that they share. */
const THREAD = `
import { writeSync } from 'node:fs';
process.on('uncaughtExceptionMonitor', (error) => writeSync(2, error.stack + '\\n'));
await import('./process.mjs');
`;

const MAIN = `
import { createServer } from 'node:net';
import { Worker } from 'node:worker_threads';
const { plugin, ...options } = JSON.parse(process.argv[2]);
const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address();
await new Promise((resolve) => server.close(resolve));
const memory = new SharedArrayBuffer(4096);
const run = (id) => new Promise((resolve, reject) => {
  const distributed = {
    coordinator: '127.0.0.1:' + port, processId: id, numProcesses: options.processes, secret: 'a secret of tests',
  };
  const workerData = { ...options, id, memory, client: { plugin, distributed } };
  const worker = new Worker(new URL('./thread.mjs', import.meta.url), { workerData });
  let result;
  worker.on('message', (message) => { result = message; });
  worker.on('error', reject);
  worker.on('exit', (code) => code === 0 ? resolve(result) : reject(new Error('process ' + id + ' ended with ' + code)));
});
const results = await Promise.all(Array.from({ length: options.processes }, (_, id) => run(id)));
console.log('results ' + JSON.stringify(results));
`;
