import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RunLog, runLog } from '../logging/run-log';
import type { LiveData } from './run-data';
import { serveRuns, type UiServer } from './server';

/** What a page would never send, written to the socket as it is. */
const HOSTILE = [
  ...[
    '//',
    '///',
    '//[',
    '//:0',
    '/%',
    '/%00',
    '*',
    '?',
    '#',
    '/..//../etc/passwd',
    'http://[::1',
    'http:',
    '\\\\',
    '//a@:b',
    '/report?'.padEnd(9000, '%'),
  ].map((target) => `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
  'GET // HTTP/1.0\r\n\r\n',
  'HEAD // HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  'CONNECT nowhere:1 HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: [\r\nConnection: close\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  'POST /report HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nConnection: close\r\n\r\ncut short',
  'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
  'GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n',
  'GET /events HTTP/1.1\r\nHost: x\r\n\r\nGET // HTTP/1.1\r\nHost: x\r\n\r\n',
  `GET / HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(3000)}\r\n`,
  '\0\u0001\u00ff\r\n\r\n',
  '\x16\x03\x01\x02\0\x01\0',
  '',
];

let parent: string;
let folder: string;
let server: UiServer;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'ui-'));
  folder = join(parent, 'first-run');
  await runLog(folder, 0); // the folder, with nothing in its logs
  server = await serveRuns([folder]);
});
afterEach(async () => {
  await server.close('over');
  await rm(parent, { recursive: true });
});

async function logEpochs(log: RunLog, from: number, to: number): Promise<void> {
  for (let epoch = from; epoch < to; epoch++) {
    await log.onEpoch(
      { epoch, updates: epoch, samples: 8 * (epoch + 1), reward: epoch / 10, seconds: 1, kl: epoch / 100 },
      { rewards: [0, 1], advantages: Float64Array.of(-1, 1), prompts: () => [] },
    );
  }
}

/** Two flat images, red and green, that prompts and rewards belong to. */
async function logEvaluation(log: RunLog, epoch: number, rewards: number[]): Promise<void> {
  await log.onEvaluation({
    epoch,
    reward: rewards.reduce((a, b) => a + b) / rewards.length,
    prompts: ['a red square', 'a <green> one'],
    metadata: [{ tag: 'colors' }, {}],
    scores: rewards,
    details: {},
    images: Float32Array.from({ length: 2 * 12 }, (_, i) => (i % 3 === Math.floor(i / 12) ? 1 : 0)),
    imageShape: [2, 2, 2, 3],
    seconds: 1,
  });
}

describe('the server', () => {
  const get = (path: string, init: RequestInit = {}) => fetch(new URL(path, server.url), init);
  const data = async (query = '') => (await (await get(`/data${query}`)).json()) as LiveData;

  it('hangs up on a page that does not read what it is sent', async () => {
    const { port, hostname } = new URL(server.url);
    const page = connect(Number(port), hostname);
    page.on('error', () => {});
    const closed = new Promise((resolve) => page.once('close', resolve));
    page.pause();
    page.write('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const size = 4 * 2 ** 20;
    for (let i = 0; i < 8; i++) {
      server.status(`${i}`.padEnd(size, '.'));
      await sleep(250);
    }
    let read = 0;
    page.on('data', (chunk: Buffer) => {
      read += chunk.length;
    });
    page.resume();
    await closed;
    expect(read).toBeLessThan(8 * size);
    expect((await get('/')).status).toBe(200);
  });

  it('answers with what it has and nothing else', async () => {
    expect(await (await get('/')).text()).toContain('app.js');
    expect(await (await get('/app.js')).text()).toContain('EventSource');
    expect(await (await get('/style.css')).text()).toContain('--paper');
    expect((await data()).runs).toMatchObject([
      { name: 'first-run', metrics: { epoch: [] }, evaluations: [] },
    ]);
    expect((await get('/etc/passwd')).status).toBe(404);
    expect((await get('/data', { method: 'POST' })).status).toBe(405);
    const log = await runLog(folder, 0);
    await logEpochs(log, 0, 1);
    await logEvaluation(log, 1, [0.25, 0.5]);
    expect((await data()).runs[0]!.metrics.epoch).toEqual([]); // not told yet
    server.changed();
    const [run] = (await data()).runs;
    expect(run!.metrics).toMatchObject({ epoch: [0], reward: [0], kl: [0] });
    const { file } = run!.evaluations[0]!.samples!;
    const image = await get(`/${file}`);
    expect(image.headers.get('content-type')).toBe('image/png');
    expect(Buffer.from(await image.arrayBuffer())).toEqual(
      await readFile(join(folder, 'samples/epoch-000001.png')),
    );
  });

  it.each([
    '/runs/0/metrics.jsonl',
    '/runs/0/samples/..%2Fmetrics.jsonl',
    '/runs/0/samples/../metrics.jsonl',
    '/runs/1/samples/epoch-000000.png',
    '/runs/-1/samples/epoch-000000.png',
    '/runs/0/samples/prompts.json',
  ])('serves no file %s', async (path) => {
    await logEpochs(await runLog(folder, 0), 0, 1);
    expect((await get(path)).status).toBe(404);
  });

  it.each([
    ['a name that a page has rebound to this machine', { host: 'evil.example' }],
    ['another web site', { origin: 'https://evil.example' }],
    ['a script of another web site', { 'sec-fetch-site': 'cross-site' }],
  ])('refuses %s', async (_, headers) => {
    const { hostname, port } = new URL(server.url);
    const lines = Object.entries({ host: `${hostname}:${port}`, ...headers }).map(
      ([key, value]) => `${key}: ${value}`,
    );
    const socket = connect(Number(port), hostname);
    socket.end(`GET /data HTTP/1.1\r\n${lines.join('\r\n')}\r\nConnection: close\r\n\r\n`);
    let text = '';
    for await (const chunk of socket) text += chunk;
    expect(text).toMatch(/^HTTP\/1.1 403/);
  });

  it('sends a page what it lacks, and everything after a rollback', async () => {
    const log = await runLog(folder, 0);
    await logEpochs(log, 0, 3);
    server.changed();
    expect((await data(`?have=${encodeURIComponent('1 0.1 1')}`)).runs).toMatchObject([
      { from: 2, metrics: { epoch: [2] } },
    ]);
    expect((await data(`?have=${encodeURIComponent('2 0.2 1')}`)).runs).toMatchObject([
      { from: 3, metrics: { epoch: [] } },
    ]);
    for (const mark of ['1 0.7 1', '9 0.1 1', '', 'nonsense']) {
      expect((await data(`?have=${encodeURIComponent(mark)}`)).runs, mark).toMatchObject([
        { from: 0, metrics: { epoch: [0, 1, 2] } },
      ]);
    }
  });

  it('says where it is run, but not in which folders', async () => {
    await writeFile(
      join(folder, 'config.json'),
      JSON.stringify({ epochs: 3, model: '/home/jo/models/show-o2' }),
    );
    await logEpochs(await runLog(folder, 0), 0, 1);
    server.changed();
    const events = await get('/events');
    server.status(`report: ${folder}/report.html`);
    const { runs } = await data();
    expect(runs[0]!.plannedEpochs).toBe(3);
    expect(runs[0]!.config).toContain('…/show-o2');
    await server.close(`saved ${folder}/model.safetensors`);
    const told = JSON.stringify(runs) + (await events.text());
    expect(told).toContain('model.safetensors');
    expect(told).not.toContain(parent);
    expect(told).not.toContain('/home');
  });

  it.each(HOSTILE)('survives %j', async (request) => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {}); // the server may hang up while we write
    socket.end(request, 'latin1');
    socket.resume();
    await new Promise((resolve) => socket.on('close', resolve));
    await new Promise(setImmediate); // a rejection that nobody handles fails the test run here
    expect((await fetch(server.url)).status).toBe(200);
  });

  it('answers 500 when the run cannot be read, and goes on', async () => {
    await writeFile(join(folder, 'metrics.jsonl'), '{"epoch":0}\n{"no":"epoch"}\n');
    server.changed();
    const answer = await get('/data');
    expect(answer.status).toBe(500);
    expect(await answer.text()).toContain('metrics.jsonl');
    expect((await fetch(server.url)).status).toBe(200);
  });

  it('ends although clients neither finish their request nor read', async () => {
    const { hostname, port } = new URL(server.url);
    const sockets = [
      'GET /data HTTP/1.1\r\nHost: 127.0.0.1\r\n',
      'GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
    ].map((text) =>
      connect(Number(port), hostname, function (this: Socket) {
        this.write(text);
      })
        .on('error', () => {})
        .pause(),
    );
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    // By itself Node waits a minute for the rest of a request.
    const waited = sleep(45_000, 'waited', { ref: false });
    expect(await Promise.race([server.close('over').then(() => 'closed'), waited])).toBe('closed');
    for (const socket of sockets) socket.destroy();
  });

  it('says which port is taken', async () => {
    const { port } = new URL(server.url);
    await expect(serveRuns([folder], { port: Number(port) })).rejects.toThrow(`port ${port} is in use`);
  });

  it('ends with open pages', async () => {
    const events = await get('/events');
    await server.close('finished');
    expect(await events.text()).toMatch(/event: end\ndata: {"text":"finished"/);
    await expect(fetch(server.url)).rejects.toThrow();
  });
});

describe('in Chromium', () => {
  let browser: Awaited<ReturnType<typeof launchChromium>>;
  let page: Page;
  const errors: string[] = [];
  beforeAll(async () => {
    browser = await launchChromium();
    page = await browser.context.newPage();
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !request.url().startsWith('data:'))
        errors.push(request.url());
    });
  });
  afterAll(() => browser?.close());
  afterEach(() => page.goto('about:blank'));

  /** The page allows no script but its own, and so none of Playwright's that waits inside it. */
  const poll = <T>(look: () => Promise<T>) => expect.poll(look, { timeout: 600_000, interval: 50 });
  const text = (part: string) => poll(() => page.evaluate(() => document.body.innerText)).toContain(part);
  /** Epochs that the first chart can be moved over; NaN before it is there. */
  const epochs = () =>
    page.evaluate(() => {
      const chart = document.querySelector('#overview [role=slider]');
      return Number(chart?.getAttribute('aria-valuemax') ?? Number.NaN) + 1;
    });
  const drawn = () =>
    poll(() => page.evaluate(() => document.querySelector('#overview .plot canvas') !== null)).toBe(true);

  it('follows a run from before its first epoch to its end', async () => {
    const log = await runLog(folder, 0);
    await page.goto(server.url);
    await text('No epoch has finished yet.');
    server.status('epoch 1/4  rollout 2/8');
    await text('rollout 2/8');

    await logEvaluation(log, 0, [0.25, 0.5]);
    await logEpochs(log, 0, 2);
    server.changed();
    await drawn();
    await text('Drawn after 0 epochs.');
    await poll(epochs).toBe(2);
    const height = () => page.evaluate(() => document.querySelector('img')?.naturalHeight);
    await poll(height).toBe(4); // two images of two rows
    expect(
      await page.$$eval('#images img', (all) => all.map((image) => image.getAttribute('alt'))),
    ).toContainEqual(expect.stringContaining('a <green> one'));
    for (const title of ['KL to the reference', 'Advantages', 'How much longer?']) await text(title);

    await logEpochs(log, 2, 4);
    await logEvaluation(log, 4, [0.75, 1]);
    server.changed();
    await text('Drawn after 4 epochs.');
    await poll(epochs).toBe(5); // the evaluation after the fourth epoch lies at 4
    await page.getByRole('button', { name: 'side by side' }).click();
    await text('Before: epoch 0. After: epoch 4. Both from the same noise.');

    await logEpochs(log, 4, 5);
    await server.close('finished after 5 epochs');
    await text('finished after 5 epochs');
    const legend = () => page.evaluate(() => document.querySelector('#overview .legend')?.textContent);
    await poll(legend).toContain('0.4');
    expect(await epochs()).toBe(5);
    expect(errors).toEqual([]);
  });

  it('keeps up with a run whose epochs are faster than its reading', async () => {
    const log = await runLog(folder, 0);
    await page.goto(server.url);
    let epoch = 0;
    let more = true;
    const running = (async () => {
      while (more) {
        await logEpochs(log, epoch, ++epoch);
        server.changed();
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await drawn();
    const before = await epochs();
    await poll(epochs).toBeGreaterThan(before);
    more = false;
    await running;
  });
});
