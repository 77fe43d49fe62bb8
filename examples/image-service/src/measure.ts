/**
 * How long the thread with the server is ever held up: `node dist/measure.js MODEL [--size PIXELS] [--images 8] [--steps 20]`.
 * Beside it stands the same for a thread that does nothing: what the operating system and other programs take away.
 */
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { Command } from 'commander';
import { imageServer } from './server';
import { openStudio, type Studio } from './studio';

const LIMIT_MS = 50;

const command = new Command()
  .argument('<model>', 'folder or hub id of a Show-o2 model')
  .option('--size <pixels>', "along a side (default: the model's own)")
  .option('--images <number>', 'pictures that are ordered, four at a time', '8')
  .option('--steps <number>', 'of each picture', '20')
  .parse();
const { size, images, steps } = command.opts<{ size?: string; images: string; steps: string }>();
const [model] = command.args as [string];

/** The largest delay of this thread's event loop while something is done. */
async function during<T>(what: string, work: () => Promise<T>): Promise<{ result: T; largest: number }> {
  const delays = monitorEventLoopDelay({ resolution: 1 });
  const start = performance.now();
  delays.enable();
  const result = await work();
  delays.disable();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const largest = delays.max / 1e6;
  const usual = (delays.percentile(99) / 1e6).toFixed(1);
  console.log(
    `${what.padEnd(9)} ${seconds.padStart(6)} s  largest ${largest.toFixed(1)} ms, 99 % below ${usual} ms`,
  );
  return { result, largest };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function order(url: string, seed: number): Promise<void> {
  const body = JSON.stringify({ prompt: 'a red circle', seed, steps: Number(steps) });
  const response = await fetch(url, { method: 'POST', body });
  if (!response.ok) throw new Error(await response.text());
  await response.arrayBuffer();
}

async function drawAll(studio: Studio): Promise<void> {
  const server = imageServer(studio);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/images`;
  let next = 0;
  const client = async () => {
    while (next < Number(images)) await order(url, next++);
  };
  await Promise.all(Array.from({ length: 4 }, client));
  server.closeAllConnections();
  server.close();
}

await during('idle', () => pause(5000));
const loading = await during('loading', () =>
  openStudio({
    model,
    adapter: undefined,
    size: size === undefined ? undefined : Number(size),
    maxWaiting: 8,
    program: new URL('./worker.js', import.meta.url),
  }),
);
const drawing = await during('drawing', () => drawAll(loading.result));
await loading.result.close();
const largest = Math.max(loading.largest, drawing.largest);
if (largest > LIMIT_MS) {
  console.error(`the server was held up for ${largest.toFixed(1)} ms: over ${LIMIT_MS} ms`);
  process.exitCode = 1;
}
