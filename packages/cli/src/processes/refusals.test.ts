/** Places that make no run: the command says why, as a process of its own, before anything is written. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleProgram } from '@flow-grpo/test-support/bundle';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let command: string;
let folder: string;
let file: string;
beforeAll(async () => {
  command = await bundleProgram(fileURLToPath(new URL('../bin.ts', import.meta.url)));
  folder = mkdtempSync(join(tmpdir(), 'refusals-'));
  file = join(folder, 'run.yaml');
  writeFileSync(file, `output: ${JSON.stringify(join(folder, 'run'))}\nsetup: toy\ndevices: 2\n`);
});
afterAll(() => rmSync(folder, { recursive: true }));

const secret = { FLOW_GRPO_SECRET: 'a secret of tests' };
const two = { RANK: '1', WORLD_SIZE: '2', MASTER_ADDR: '127.0.0.1', MASTER_PORT: '1' };

function run(args: readonly string[], environment: Record<string, string>) {
  const child = spawn(process.execPath, [command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, HOME: process.env.HOME, FLOW_GRPO_XLA_PLATFORM: 'cpu', ...environment },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
  return new Promise<{ status: number | null; text: string }>((resolve) =>
    child.on('close', (status) => resolve({ status, text })),
  );
}

describe('a process without a place in a run', () => {
  it.each<[string, string[], Record<string, string>, RegExp]>([
    ['no secret', [], two, /set FLOW_GRPO_SECRET/],
    ['XLA for CPUs', [], { ...two, ...secret }, /computes in one process only: several need a CUDA plugin/],
    [
      'a number beyond the last',
      [],
      { ...two, ...secret, RANK: '2' },
      /process 2 of 2; process numbers start at 0/,
    ],
    [
      'a coordinator alone',
      ['--coordinator', 'a:1'],
      secret,
      /--coordinator needs --process and --processes/,
    ],
    ['no count', ['--process', '0'], secret, /--process needs --processes/],
    [
      'half a process',
      ['--process', '0.5', '--processes', '2'],
      secret,
      /--process 0\.5: give a whole number/,
    ],
    ['nowhere to meet', ['--process', '0', '--processes', '2'], secret, /does not say where process 0 is/],
    [
      'another backend',
      ['--backend', 'cpu'],
      { ...two, ...secret },
      /--backend cpu runs in a single process/,
    ],
  ])('%s', async (_, args, environment, message) => {
    const { status, text } = await run(['train', file, ...args], environment);
    expect(text).toMatch(message);
    expect(status).not.toBe(0);
    expect(existsSync(join(folder, 'run'))).toBe(false);
  });

  it.each<[string, string[], Record<string, string>, RegExp]>([
    [
      'a number beyond the last',
      ['--process', '2', '--processes', '2'],
      {},
      /process 2 of 2; process numbers/,
    ],
    ['a negative number', ['--process', '-1', '--processes', '2'], {}, /--process -1: give a whole number/],
    ['a count alone', ['--processes', '2'], {}, /--processes needs --process and --coordinator/],
    ['a launcher’s number beyond the last', [], { ...two, RANK: '2' }, /process 2 of 2/],
    ['another backend', ['--backend', 'cpu'], two, /--backend cpu runs in a single process/],
  ])('%s has no plan either', async (_, args, environment, message) => {
    const { status, text } = await run(['train', file, '--dry-run', ...args], environment);
    expect(text).toMatch(message);
    expect(status).toBe(2);
  });

  it('doctor --distributed says what gives places', async () => {
    const { status, text } = await run(['doctor', '--distributed'], {});
    expect(text).toMatch(/start it the way you start the run \(srun, torchrun, …\)/);
    expect(status).not.toBe(0);
  });
});
