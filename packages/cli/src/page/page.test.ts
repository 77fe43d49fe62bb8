import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RunLog, runLog } from '../logging/run-log';
import { writeRunReport } from '../report/run-report';
import { serveRun, type UiServer } from './server';

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

let folder: string;
let server: UiServer;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ui-'));
  server = await serveRun(folder);
});
afterEach(async () => {
  await server.close('over');
  await rm(folder, { recursive: true });
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
    scores: rewards,
    details: {},
    images: Float32Array.from({ length: 2 * 12 }, (_, i) => (i % 3 === Math.floor(i / 12) ? 1 : 0)),
    imageShape: [2, 2, 2, 3],
    seconds: 1,
  });
}

describe('the server', () => {
  it('answers with what it has and nothing else', async () => {
    const get = (path: string, method = 'GET') => fetch(new URL(path, server.url), { method });
    expect(await (await get('/')).text()).toContain('new EventSource');
    expect(await (await get('/report')).text()).toBe('');
    expect((await get('/etc/passwd')).status).toBe(404);
    expect((await get('/report', 'POST')).status).toBe(405);
    await logEpochs(await runLog(folder, 0), 0, 1);
    expect(await (await get('/report')).text()).toBe(''); // not told yet
    server.changed();
    expect(await (await get('/report')).text()).toContain('<svg');
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

  it('answers 500 when the report cannot be drawn, and goes on', async () => {
    await writeFile(join(folder, 'metrics.jsonl'), '{"epoch":0}\nnull\n');
    server.changed();
    expect((await fetch(new URL('/report', server.url))).status).toBe(500);
    expect((await fetch(server.url)).status).toBe(200);
  });

  it('ends although clients neither finish their request nor read', async () => {
    const { hostname, port } = new URL(server.url);
    const sockets = ['GET /report HTTP/1.1\r\nHost: x\r\n', 'GET /events HTTP/1.1\r\nHost: x\r\n\r\n'].map(
      (text) =>
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
    await expect(serveRun(folder, { port: Number(port) })).rejects.toThrow(`port ${port} is taken`);
  });

  it('ends with open pages', async () => {
    const events = await fetch(new URL('/events', server.url));
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

  it('follows a run from before its first epoch to its end', async () => {
    const text = (part: string) =>
      page.waitForFunction((wanted) => document.body.innerText.includes(wanted), part);
    const log = await runLog(folder, 0);
    await page.goto(server.url);
    await text('No epoch yet.');
    server.status('epoch 1/4  rollout 2/8');
    await text('rollout 2/8');

    await logEvaluation(log, 0, [0.25, 0.5]);
    await logEpochs(log, 0, 2);
    server.changed();
    await page.waitForSelector('section svg polyline');
    await text('Samples (epoch 0)');
    const points = () => page.$$eval('section:first-of-type circle', (circles) => circles.length);
    expect(await points()).toBe(2);
    expect(await page.$eval('img', (image) => (image as HTMLImageElement).naturalWidth)).toBeGreaterThan(100);
    expect(await page.getAttribute('img', 'alt')).toContain('a <green> one');
    for (const title of ['KL to the reference', 'Histogram of advantages']) await text(title);

    await logEpochs(log, 2, 4);
    await logEvaluation(log, 4, [0.75, 1]);
    server.changed();
    await text('Before (epoch 0, left) and after (epoch 4, right)');
    expect(await points()).toBe(4);

    await logEpochs(log, 4, 5);
    await server.close('finished after 5 epochs');
    await text('finished after 5 epochs');
    await page.waitForFunction(() => document.querySelectorAll('section:first-of-type circle').length === 5);
    const screenshots = process.env.UI_SCREENSHOTS;
    if (screenshots) await page.screenshot({ path: join(screenshots, 'live.png'), fullPage: true });
    expect(errors).toEqual([]);
  });

  it('shows the written report, which needs nothing else', async () => {
    const log = await runLog(folder, 0);
    await logEvaluation(log, 0, [0.25, 0.5]);
    await logEpochs(log, 0, 3);
    await logEvaluation(log, 3, [0.75, 1]);
    await writeFile(join(folder, 'config.json'), '{ "seed": 42 }');
    const report = await browser.context.newPage();
    const wanted: string[] = [];
    report.on('request', (request) => void wanted.push(request.url()));
    await report.goto(pathToFileURL(await writeRunReport(folder)).href);
    const titles = await report.$$eval('h2', (headings) => headings.map((heading) => heading.textContent));
    for (const title of [
      'Reward',
      'Numbers',
      'KL to the reference',
      'Histogram of advantages',
      'Configuration',
    ])
      expect(titles).toContain(title);
    expect(titles.some((title) => title?.startsWith('Before (epoch 0, left) and after (epoch 3'))).toBe(true);
    const box = await report.$eval('img', (image) => (image as HTMLImageElement).naturalWidth);
    expect(box).toBeGreaterThan(100);
    expect(await report.$eval('table', (table) => table.textContent)).toMatch(/images per second/);
    expect(wanted.filter((url) => !/^(file|data):/.test(url))).toEqual([]);
    await report.close();
  });

  it('keeps up with a run whose epochs are faster than its report', async () => {
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
    const drawn = () => page.$$eval('section:first-of-type circle', (circles) => circles.length);
    await page.waitForSelector('section svg polyline');
    const before = await drawn();
    await page.waitForFunction(
      (count) => document.querySelectorAll('section:first-of-type circle').length > count,
      before,
    );
    more = false;
    await running;
  });
});
