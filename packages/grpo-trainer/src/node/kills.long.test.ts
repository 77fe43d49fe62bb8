/** Kill -9 of either of two processes at ten random moments: the other ends by itself, and both resume to the same bits. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleProgram, copyThreads } from '@flow-grpo/test-support/bundle';
import { freePort } from '@flow-grpo/test-support/free-port';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { randomAt } from '../random';
import { checkpointEpoch, listCheckpoints } from './checkpoint-names';

const SEED = 21;
const KILLS = 10;
/** Milliseconds after a process's first epoch within which it is killed. */
const MOMENTS = 1500;
/** Milliseconds that the other may take to end. */
const END = 60_000;

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const children: ChildProcess[] = [];
let program: string;
let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'kills-'));
  program = await bundleProgram(path('./kills.testing.ts'));
  copyThreads(dirname(program));
});
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(root, { recursive: true });
});

/** Starts both processes of a run; `first` resolves when a process has done an epoch. */
async function start(folder: string, epochs: number) {
  const coordinator = `127.0.0.1:${await freePort()}`;
  return [0, 1].map((id) => {
    const child = spawn(process.execPath, [program, coordinator, `${id}`, folder, `${epochs}`]);
    children.push(child);
    let [stdout, stderr] = ['', ''];
    let began = () => {};
    const first = new Promise<void>((resolve) => {
      began = resolve;
    });
    child.stdout.on('data', (text) => {
      stdout += text;
      if (stdout.includes('epoch ')) began();
    });
    child.stderr.on('data', (text) => (stderr += text));
    const ended = new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) =>
      child.on('close', (status) => {
        began();
        resolve({ status, stdout, stderr });
      }),
    );
    return { child, first, ended };
  });
}

/** Trains to the end; what each process says of its weights. */
async function toTheEnd(folder: string, epochs: number): Promise<string[]> {
  const both = await start(folder, epochs);
  const all = await Promise.all(both.map(({ ended }) => ended));
  return all.map(({ status, stdout, stderr }) => {
    expect(status, stderr).toBe(0);
    return /^weights .*$/m.exec(stdout)![0];
  });
}

it('ten kills of either process', async () => {
  const folder = join(root, 'killed');
  const random = randomAt(SEED, 0);
  const victims = new Set<number>();
  for (let kill = 0; kill < KILLS; kill++) {
    const both = await start(folder, 1_000_000);
    await Promise.all(both.map(({ first }) => first));
    const victim = random() < 0.5 ? 0 : 1;
    victims.add(victim);
    await new Promise((resolve) => setTimeout(resolve, MOMENTS * random()));
    both[victim]!.child.kill('SIGKILL');
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error(`process ${1 - victim} is still there`)), END).unref();
    });
    const other = await Promise.race([both[1 - victim]!.ended, late]);
    await both[victim]!.ended;
    expect(other.status, other.stderr).toBe(75);
    const lost = `Process ${1 - victim} ends: process ${victim}.* is gone.*Start all processes again to resume`;
    expect(other.stderr).toMatch(new RegExp(lost));
  }
  expect(victims.size).toBe(2);
  const reached = checkpointEpoch((await listCheckpoints(folder)).at(-1)!);
  expect(reached).toBeGreaterThan(KILLS / 2);
  const resumed = await toTheEnd(folder, reached + 3);
  const straight = await toTheEnd(join(root, 'straight'), reached + 3);
  expect(resumed).toEqual(straight);
  expect(resumed[0]).toBe(resumed[1]);
  expect(resumed[0]).toMatch(new RegExp(`^weights ${reached + 3} [0-9a-f]{64}$`));
});
