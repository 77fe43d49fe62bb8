import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundleText } from './bundle';

const bundle = fileURLToPath(new URL('../node_modules/.cache/worker-test.mjs', import.meta.url));

/** What a worker does over and over until it is terminated: each call crosses FFI in another way. */
const WORK = {
  'reads results': 'async () => { await executable.execute([[a]])[0][0].toHost(); }',
  'leaves reads under way':
    'async () => { for (let i = 0; i < 4; i++) executable.execute([[a]])[0][0].toHost(); await tick(); }',
  'reads, blocking': 'async () => { executable.execute([[a]])[0][0].toHostSync(); await tick(); }',
  'sends values':
    'async () => { const b = client.bufferFromHostAsync(values, "f32", [256, 256]); (await b).dispose(); }',
  'leaves values on their way':
    'async () => { client.bufferFromHostAsync(values.slice(), "f32", [256, 256]); await tick(); }',
  compiles: 'async () => { (await client.compile(slowProgram(16, 5 + (n++ % 50)))).dispose(); }',
  'starts clients': 'async () => { (await createClient({ platform: "cpu" })).dispose(); }',
};

beforeAll(() => {
  bundleText(
    `
        import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
        import { createClient } from './src/index';
        import { slowProgram } from './test/plugin';
        const start = async () => {
          const client = await createClient({ platform: 'cpu' });
          const values = new Float32Array(256 * 256).fill(1 / 256);
          const a = client.bufferFromHost(values, 'f32', [256, 256]);
          return { client, values, a, executable: client.compileSync(slowProgram(256, 6)) };
        };
        const tick = () => new Promise((resolve) => setImmediate(resolve));
        if (isMainThread) {
          const { a, executable } = await start();
          const check = async () => {
            const [[result]] = executable.execute([[a]]);
            const bytes = await result.toHost();
            result.dispose();
            const first = new Float32Array(bytes.buffer)[0];
            if (Math.abs(first - 1 / 256) > 1e-6) throw new Error('wrong result ' + first);
          };
          for (let round = 0; round < 4; round++) {
            const workers = [0, 1].map(() => new Worker(new URL(import.meta.url), { workerData: process.argv[2] }));
            await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
            // Other moments in each round: at once, in the middle of a call, after several.
            await new Promise((resolve) => setTimeout(resolve, 7 * round));
            await check();
            await Promise.all(workers.map((worker) => worker.terminate()));
            await check();
          }
          // What the last two were computing goes on for a moment.
          process.exitCode = 7;
        } else {
          const { client, values, a, executable } = await start();
          let n = 0;
          const work = { ${Object.entries(WORK)
            .map(([name, code]) => `${JSON.stringify(name)}: ${code}`)
            .join(', ')} }[workerData];
          parentPort.postMessage('ready');
          for (;;) await work();
        }`,
    bundle,
  );
});
afterAll(() => rmSync(bundle));

it.concurrent.each(Object.keys(WORK))('a worker that %s may be terminated at any time', async (work) => {
  const child = spawn(process.execPath, [bundle, work], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (text) => (stderr += text));
  const [status, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once('close', (...ended) => resolve(ended)),
  );
  expect({ status, signal, stderr: status === 7 ? '' : stderr }).toEqual({
    status: 7,
    signal: null,
    stderr: '',
  });
});
