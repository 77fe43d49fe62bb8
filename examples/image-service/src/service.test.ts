/** The service as it runs: a server, a drawing thread, and the quickstart's small Show-o2. */
import { request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bundleOptions, bundleProgram } from '@flow-grpo/test-support/bundle';
import { build } from 'esbuild';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageServer, parseOrder } from './server';
import { openStudio, type Studio } from './studio';

const model = fileURLToPath(new URL('../../quickstart/assets/', import.meta.url));
const MAX_WAITING = 2;

let studio: Studio;
let server: Server;
let url: string;
beforeAll(async () => {
  process.env.FLOW_GRPO_XLA_PLATFORM = 'cpu';
  const program = pathToFileURL(await bundleProgram(fileURLToPath(new URL('./worker.ts', import.meta.url))));
  studio = await openStudio({ model, adapter: undefined, maxWaiting: MAX_WAITING, program });
  server = imageServer(studio);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await studio.close();
});

const post = (order: unknown, signal?: AbortSignal) =>
  fetch(`${url}/images`, {
    method: 'POST',
    body: typeof order === 'string' ? order : JSON.stringify(order),
    ...(signal && { signal }),
  });
const health = async () =>
  (await (await fetch(`${url}/health`)).json()) as { waiting: number; tensors: number };
const waiting = async (count: number) => {
  while (studio.waiting !== count) await new Promise((resolve) => setTimeout(resolve, 5));
};
const prompt = 'a red circle';

describe('the image service', () => {
  it('draws, the same picture for the same order, while the event loop stays free', async () => {
    const before = performance.eventLoopUtilization();
    const draw = async (seed: number) => {
      const response = await post({ prompt, seed, steps: 6 });
      expect(response.status).toBe(200);
      return Buffer.from(await response.arrayBuffer());
    };
    const [first, again, other] = [await draw(1), await draw(1), await draw(2)];
    const { utilization } = performance.eventLoopUtilization(before);
    expect(await sharp(first).metadata()).toMatchObject({
      format: 'png',
      width: 64,
      height: 64,
      channels: 3,
    });
    expect(again.equals(first)).toBe(true);
    expect(other.equals(first)).toBe(false);
    // Compiling and drawing keep the other thread busy for all of that time; in this one it would be near 1.
    expect(utilization).toBeLessThan(0.5);
  });

  it('refuses more orders than may wait, and serves those it has taken', async () => {
    const orders = [0, 1, 2].map((seed) => post({ prompt, seed, steps: 30 }));
    await waiting(MAX_WAITING);
    const refused = await post({ prompt });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    for (const order of orders) expect((await order).status).toBe(200);
    expect(await health()).toMatchObject({ waiting: 0 });
  });

  it('drops orders whose clients have gone, in the queue and in the drawing', async () => {
    const drawn = new AbortController();
    const queued = new AbortController();
    const first = post({ prompt, steps: 200 }, drawn.signal).catch((error: Error) => error.name);
    const second = post({ prompt, steps: 200 }, queued.signal).catch((error: Error) => error.name);
    await waiting(1);
    queued.abort();
    expect(await second).toBe('AbortError');
    await waiting(0);
    drawn.abort();
    expect(await first).toBe('AbortError');
    // 400 steps were ordered: this one does not wait for them.
    expect((await post({ prompt, steps: 1 })).status).toBe(200);
  });

  it('holds nothing but the model after orders that were drawn, dropped or cancelled', async () => {
    expect((await post({ prompt, steps: 3 })).status).toBe(200);
    const { tensors } = await health();
    expect(tensors).toBeGreaterThan(0);
    for (let i = 0; i < 3; i++) {
      const controller = new AbortController();
      const cancelled = post({ prompt, steps: 200 }, controller.signal).catch((error: Error) => error.name);
      await new Promise((resolve) => setTimeout(resolve, 100));
      controller.abort();
      expect(await cancelled).toBe('AbortError');
      expect((await post({ prompt, seed: i, steps: 3 })).status).toBe(200);
      expect((await health()).tensors).toBe(tensors);
    }
  });

  it.each([
    ['', /not JSON/],
    ['null', /not a JSON object/],
    [{}, /prompt must be/],
    [{ prompt: ' ' }, /prompt must be/],
    [{ prompt: 'x'.repeat(1001) }, /prompt must be/],
    [{ prompt: 'a \ud800 cat' }, /half of a surrogate pair/],
    [{ prompt: 'a \0 cat' }, /NUL character/],
    [{ prompt, seed: -1 }, /seed must be/],
    [{ prompt, seed: 0.5 }, /seed must be/],
    [{ prompt, steps: 0 }, /steps must be/],
    [{ prompt, steps: 1e9 }, /steps must be/],
  ])('refuses the order %j in words', async (order, message) => {
    const response = await post(order);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: string }).error).toMatch(message);
  });

  it.each([
    [200, '/health', {}],
    [200, '/health', { host: 'localhost' }],
    [403, '/health', { host: 'attacker.example' }],
    [403, '/images', { origin: 'http://attacker.example' }],
    [403, '/images', { 'sec-fetch-site': 'cross-site' }],
    [404, '/images/../health', {}],
    [404, '/%2e%2e/%2e%2e/etc/passwd', {}],
    [404, '/%zz', {}],
    [404, '//', {}],
  ] as const)('answers %i to %s with %j', async (status, path, headers) => {
    const { port } = server.address() as AddressInfo;
    const answered = await new Promise<number>((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port, path, headers }, (response) => {
        response.resume();
        resolve(response.statusCode!);
      });
      sent.once('error', reject);
      sent.end();
    });
    expect(answered).toBe(status);
  });

  it('lives on when connections cannot be taken', async () => {
    for (let i = 0; i < 3; i++) server.emit('error', new Error('accept EMFILE'));
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });

  it('refuses bodies without end, other methods and other paths', async () => {
    expect((await post('x'.repeat(20_000))).status).toBe(413);
    expect((await fetch(`${url}/images`)).status).toBe(405);
    expect((await fetch(`${url}//`)).status).toBe(404);
    expect(parseOrder('{"prompt": "a"}')).toEqual({ prompt: 'a', seed: 0, steps: 49 });
  });
});

it('the thread with the server has no model code in it: no tfjs, XLA, model or image encoder', async () => {
  const entry = fileURLToPath(new URL('./main.ts', import.meta.url));
  const { metafile } = await build({
    ...bundleOptions(entry),
    metafile: true,
    write: false,
    outfile: 'main.mjs',
  });
  const sources = Object.keys(metafile.inputs).map((file) => file.replace(/^.*\//, ''));
  expect(sources.sort()).toEqual(['main.ts', 'origin.ts', 'server.ts', 'studio.ts']);
  const outside = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  expect([...new Set(outside)].sort()).toEqual([
    'commander',
    'node:events',
    'node:http',
    'node:net',
    'node:os',
    'node:worker_threads',
  ]);
});
