import { spawn, spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bundleProgram } from '@flow-grpo/test-support/bundle';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { acquireLease, type HeldLease } from './lease';

let folder: string;
const held: HeldLease[] = [];
const take = async (options: Parameters<typeof acquireLease>[1] = {}) => {
  const lease = await acquireLease(folder, options);
  held.push(lease);
  return lease;
};
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'lease-')), 'checkpoints');
});
afterEach(async () => {
  for (const lease of held.splice(0)) await lease.release();
  await rm(join(folder, '..'), { recursive: true });
});

/** The second one waits for half a minute whether the first renews its lease: the other tests run meanwhile. */
async function trainTwiceInOneFolder() {
  const runner = await bundleProgram(fileURLToPath(new URL('./testing/run-once.ts', import.meta.url)));
  const output = await mkdtemp(join(tmpdir(), 'lease-'));
  const start = (pause: string) => spawn(process.execPath, [runner, output, pause]);
  const end = (child: ReturnType<typeof start>) =>
    new Promise<number | null>((resolve) => child.once('close', resolve));
  const first = start('told');
  const ended = end(first);
  await new Promise((resolve) => first.stdout.once('data', resolve));
  const second = start('0');
  let complaint = '';
  second.stderr.on('data', (text) => (complaint += text));
  second.stdout.resume();
  const status = await end(second);
  first.stdout.resume();
  first.stdin.end();
  const firstEnded = { pid: first.pid, status: await ended };
  const files = await readdir(join(output, 'checkpoints'));
  await rm(output, { recursive: true });
  return { first: firstEnded, second: { status, complaint }, files };
}
let twoTrainers: ReturnType<typeof trainTwiceInOneFolder>;
beforeAll(() => {
  twoTrainers = trainTwiceInOneFolder();
  twoTrainers.catch(() => {}); // the test tells
});

const file = () => join(folder, 'lease.json');
/** A lease that somebody else has left, so many seconds ago. */
async function leave(lease: object | string, seconds = 0) {
  await mkdir(folder, { recursive: true });
  await writeFile(file(), typeof lease === 'string' ? lease : JSON.stringify({ id: 'theirs', ...lease }));
  const at = new Date(Date.now() - 1000 * seconds);
  await utimes(file(), at, at);
}
const alive = process.ppid; // a process of this machine that runs
const quick = { staleMs: 1000, renewMs: 50 };

describe('a lease', () => {
  it('keeps a second run out until it is given back', async () => {
    const first = await take();
    await first.check();
    await expect(take()).rejects.toThrow(
      new RegExp(`${folder} is in use by process ${process.pid} on ${hostname()}: .*--take-over`),
    );
    await first.release();
    expect(await readdir(folder)).toEqual([]);
    await (await take()).check();
  });

  it('of two that ask at once is one’s', async () => {
    const asked = await Promise.allSettled(Array.from({ length: 8 }, () => take(quick)));
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('that is taken over is no longer the first one’s, which says so and leaves it alone', async () => {
    const first = await take({ ...quick });
    const second = await take({ ...quick, takeOver: true });
    await expect(first.check()).rejects.toThrow(/was taken over by process/);
    await first.release();
    await second.check();
    expect(await readdir(folder)).toEqual(['lease.json']);
  });

  it('is renewed while the event loop is blocked', async () => {
    await take({ ...quick, renewMs: 20 });
    const before = await readFile(file(), 'utf8');
    await leave(before, 3600);
    const backdated = statSync(file()).mtimeMs;
    // This thread is blocked until the child has ended.
    spawnSync(process.execPath, ['-e', 'setTimeout(() => {}, 2000)']);
    expect(statSync(file()).mtimeMs).toBeGreaterThan(backdated);
    expect(await readFile(file(), 'utf8')).toBe(before);
  });

  it.each<[string, object | string, number]>([
    ['a process of this machine that has ended', { host: hostname(), pid: spawnSync('true').pid }, 0],
    ['an earlier process with this one’s number', { host: hostname(), pid: process.pid }, 0],
    ['another machine, not renewed for long', { host: 'gone', pid: alive }, 3600],
    ['a process that runs, not renewed for long', { host: hostname(), pid: alive }, 3600],
    ['nobody knows whom, old', 'not JSON', 3600],
  ])('of %s is void at once', async (_, lease, seconds) => {
    await leave(lease, seconds);
    const waited: string[] = [];
    await (await take({ onWait: (message) => waited.push(message) })).check();
    expect(waited).toEqual([]);
  });

  it.each<[string, object | string, number?]>([
    ['another machine', { host: 'gone', pid: alive }],
    ['a process of this machine that may be another by now', { host: hostname(), pid: alive }],
    ['nobody knows whom', '{"id":'],
    ['nobody knows whom, in JSON', 'null'],
    ['a process whose number is none', { host: hostname(), pid: 'x' }],
    ['another machine, renewed before the clock was set back', { host: 'gone', pid: alive }, -86_400],
  ])('of %s is void when it is not renewed', async (_, lease, seconds = 0) => {
    await leave(lease, seconds);
    const waited: string[] = [];
    await (await take({ ...quick, onWait: (message) => waited.push(message) })).check();
    expect(waited).toEqual([expect.stringMatching(/was in use 0 s ago by .*waiting up to 1 s/)]);
  });

  it('of another machine that is renewed holds', async () => {
    await leave({ host: 'elsewhere', pid: 1 });
    const renewing = setInterval(() => void utimes(file(), new Date(), new Date()), 30);
    try {
      await expect(take({ staleMs: 5000 })).rejects.toThrow(/in use by process 1 on elsewhere/);
    } finally {
      clearInterval(renewing);
    }
  });
});

it.each([
  { flags: [] },
  { flags: ['--input-type=module'] },
  { flags: ['--disallow-code-generation-from-strings'] },
])('a lease is renewed in a program started with $flags', async ({ flags }: { flags: string[] }) => {
  const program = await bundleProgram(fileURLToPath(new URL('./testing/take-lease.ts', import.meta.url)));
  const started = flags.includes('--input-type=module')
    ? ['-e', `await import(${JSON.stringify(pathToFileURL(program).href)})`]
    : [program];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, ...started], {
    env: { ...process.env, LEASE_FOLDER: folder },
    encoding: 'utf8',
  });
  expect([status, stdout, stderr]).toEqual([0, 'given back\n', '']);
});

it('two trainers in one folder: the second is refused, and the first one’s files stay', async () => {
  const { first, second, files } = await twoTrainers;
  expect(second.status).not.toBe(0);
  expect(second.complaint).toContain(`is in use by process ${first.pid}`);
  expect(first.status).toBe(0);
  expect(files).toEqual(expect.arrayContaining(['epoch-000008']));
});
