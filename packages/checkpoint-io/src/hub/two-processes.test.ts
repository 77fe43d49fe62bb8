import { type ChildProcess, spawn } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StandInHub, sha256 } from '@flow-grpo/test-support';
import { bundleProgram } from '@flow-grpo/test-support/bundle';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { locked } from './download-lock';
import { snapshotDownload } from './index';

const weights = Buffer.from(Uint8Array.from({ length: 400_000 }, (_, i) => (i * 7919) >> 3));
const blobName = sha256(weights);

let hub: StandInHub;
let cacheDir: string;
let program: string;
const children: ChildProcess[] = [];
beforeAll(async () => {
  program = await bundleProgram(fileURLToPath(new URL('./testing/download-once.ts', import.meta.url)));
});
beforeEach(async () => {
  cacheDir = mkdtempSync(join(tmpdir(), 'two-processes-'));
  hub = new StandInHub({ 'org/tiny': { 'config.json': Buffer.from('{}'), 'model.safetensors': weights } });
  await hub.start();
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await hub.stop();
  rmSync(cacheDir, { recursive: true });
});

const blobs = () => join(cacheDir, 'models--org--tiny', 'blobs');
const left = () => readdirSync(blobs()).filter((name) => /\.(lock|incomplete)/.test(name));
const download = () => snapshotDownload('org/tiny', { endpoint: hub.endpoint, cacheDir, offline: false });

/** The storage sends half of the file, then the rest once `go` is called. */
function halfway(): { reached: Promise<void>; go: () => void } {
  let go = () => {};
  const allowed = new Promise<void>((resolve) => {
    go = resolve;
  });
  let reach = () => {};
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  hub.intercept = (request, response) => {
    if (request.method !== 'GET' || !request.url!.startsWith('/storage/') || request.headers.range)
      return false;
    response.writeHead(200, { 'content-length': weights.length });
    response.write(weights.subarray(0, weights.length / 2), () => reach());
    void allowed.then(() => response.end(weights.subarray(weights.length / 2)));
    return true;
  };
  return { reached, go };
}

function start() {
  const child = spawn(process.execPath, [program, hub.endpoint, cacheDir], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  child.stderr.on('data', (chunk) => (text += chunk));
  const started = new Promise((resolve) => child.stdout.once('data', resolve));
  const ended = new Promise<{ code: number | null; text: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, text })),
  );
  return { child, started, ended };
}

describe('processes that download the same file', () => {
  it('at once get it once, whole', async () => {
    const { reached, go } = halfway();
    const first = start();
    await reached;
    const others = [start(), start()];
    await Promise.all(others.map(({ started }) => started));
    // They have seen the lock when they have asked the hub for the file.
    const asked = () =>
      hub.requests.filter(({ method, url }) => method === 'HEAD' && url.includes('model')).length;
    while (asked() < 3) await new Promise((resolve) => setTimeout(resolve, 20));
    go();
    for (const { ended } of [first, ...others]) {
      const { code, text } = await ended;
      expect(code, text).toBe(0);
      const folder = text.trim().split('\n').at(-1)!;
      expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    }
    expect(hub.downloads).toHaveLength(1);
    expect(left()).toEqual([]);
  });

  it('go on where one was killed', async () => {
    const { reached } = halfway();
    const first = start();
    await reached;
    while (!left().includes(`${blobName}.incomplete`))
      await new Promise((resolve) => setTimeout(resolve, 20));
    first.child.kill('SIGKILL');
    await first.ended;
    hub.intercept = () => false;
    const folder = await download();
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(left()).toEqual([]);
  });

  it('in one process share it too', async () => {
    const folders = await Promise.all([download(), download(), download()]);
    expect(new Set(folders).size).toBe(1);
    expect(hub.downloads).toHaveLength(1);
  });
});

describe('a lock', () => {
  const quick = { lookMs: 5, renewMs: 10, staleMs: 300 };
  const file = () => join(cacheDir, 'file');
  const lock = () => `${file()}.lock`;
  const run = async (isDone = false) => {
    let worked = false;
    const work = async () => {
      worked = true;
    };
    await locked(file(), async () => isDone, work, undefined, quick);
    return worked;
  };

  it.each<[string, object | string]>([
    ['another machine that is gone', { id: 'x', host: 'gone', pid: 1 }],
    ['nobody knows whom', 'not JSON'],
    ['an earlier process with the same number', { id: 'x', host: hostname(), pid: process.pid }],
  ])('of %s does not keep the file for ever', async (_, owner) => {
    writeFileSync(lock(), typeof owner === 'string' ? owner : JSON.stringify(owner));
    expect(await run()).toBe(true);
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  it('of another machine that is renewed holds until the work is done', async () => {
    writeFileSync(lock(), JSON.stringify({ id: 'x', host: 'elsewhere', pid: 1 }));
    let renewals = 0;
    const renewing = setInterval(() => {
      const at = new Date(2000 + renewals++);
      utimesSync(lock(), at, at);
    }, 20);
    let done = false;
    let worked = false;
    const waiting = locked(
      file(),
      async () => done,
      async () => {
        worked = true;
      },
      undefined,
      quick,
    );
    while (renewals < 40) await new Promise((resolve) => setTimeout(resolve, 10)); // longer than staleMs
    expect(worked).toBe(false);
    done = true;
    await waiting;
    clearInterval(renewing);
    expect(worked).toBe(false);
  });

  it('is given back when the work fails, and a wait can be cancelled', async () => {
    const failing = locked(
      file(),
      async () => false,
      async () => Promise.reject(new Error('no')),
      undefined,
      quick,
    );
    await expect(failing).rejects.toThrow('no');
    expect(readdirSync(cacheDir)).toEqual([]);
    mkdirSync(join(cacheDir, 'sub'));
    writeFileSync(lock(), JSON.stringify({ id: 'x', host: 'elsewhere', pid: 1 }));
    const waiting = locked(
      file(),
      async () => false,
      async () => {},
      AbortSignal.timeout(50),
      {
        ...quick,
        staleMs: 60_000,
      },
    );
    await expect(waiting).rejects.toThrow(/abort/i);
  });
});
