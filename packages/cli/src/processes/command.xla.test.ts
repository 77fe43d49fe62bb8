/** `flow-grpo train` over processes that find their places from a launcher: threads on parts of one CPU client. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listCheckpoints } from '@flow-grpo/grpo-trainer/node';
import { type ProcessesProgram, processesProgram } from '@flow-grpo/test-support/processes';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readJsonLines } from '../logging/json-lines';
import type { Command, Ended } from './command.testing';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
let program: ProcessesProgram;
let root: string;
let runs = 0;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'command-'));
  program = await processesProgram(path('../..'), path('./command.testing.ts'));
});
afterAll(() => {
  program.dispose();
  rmSync(root, { recursive: true });
});

const EPOCHS = 2;
function newRun(): { file: string; output: string } {
  const output = join(root, `run-${runs}`);
  const file = join(root, `run-${runs++}.yaml`);
  const sampling = '{ numSteps: 4, promptsPerEpoch: 4, samplesPerPrompt: 4, batchSize: 8 }';
  writeFileSync(
    file,
    `output: ${JSON.stringify(output)}\nsetup: toy\ndevices: 2\nsampling: ${sampling}\ndivergence: { action: off }\n`,
  );
  return { file, output };
}
const run = (processes: number, command: Omit<Command, 'programs'>) =>
  program.run<Ended>({
    processes,
    devicesPerProcess: 2 / processes,
    argument: { ...command, programs: join(root, 'programs') } satisfies Command,
  });

/** What a run left that must not depend on how many processes it had. */
async function left(output: string) {
  const metrics = await readJsonLines<Record<string, number>>(join(output, 'metrics.jsonl'));
  const numbers = metrics.map(({ epoch, loss, reward, gradNorm }) => ({ epoch, loss, reward, gradNorm }));
  return { numbers, model: readFileSync(join(output, 'model.safetensors')).toString('base64') };
}

describe('flow-grpo train, two processes of one device', () => {
  let expected: Awaited<ReturnType<typeof left>>;
  beforeAll(async () => {
    const { file, output } = newRun();
    const [alone] = await run(1, { launcher: 'none', args: ['train', file, '--epochs', `${EPOCHS}`] });
    expect(alone!.status, alone!.stderr).toBe(0);
    expected = await left(output);
    expect(expected.numbers).toHaveLength(EPOCHS);
  });

  it.each<Command['launcher']>(['torchrun', 'Slurm', 'Open MPI', 'Kubernetes', 'flags'])(
    'placed by %s leave what one process with two devices does, to the bit',
    async (launcher) => {
      const { file, output } = newRun();
      const both = await run(2, { launcher, args: ['train', file, '--epochs', `${EPOCHS}`] });
      for (const { status, stderr } of both) expect(status, stderr).toBe(0);
      expect(await left(output)).toEqual(expected);
      // Process 0 alone tells.
      expect(both[0]!.stderr).toMatch(/finished after 2 epochs/);
      expect(both[1]!.stderr).not.toMatch(/finished/);
    },
  );

  it('are compared by doctor --distributed, which sums over their devices', async () => {
    const both = await run(2, { launcher: 'Slurm', args: ['doctor', '--distributed'] });
    for (const { status, stderr } of both) expect(status, stderr).toBe(0);
    const [told, silent] = both.map(({ stdout }) => stdout);
    expect(silent).toBe('');
    const rows = Object.fromEntries(
      told!
        .trim()
        .split('\n')
        .map((line) => line.split(/ {2,}/)),
    );
    expect(rows).toMatchObject({
      'process 0': expect.stringMatching(/pid \d+: 1 × /),
      'process 1': expect.stringMatching(/pid \d+: 1 × /),
      'flow-grpo': expect.stringMatching(/^\d+\.\d+\.\d+$/),
      Node: process.version,
      plugin: expect.stringContaining('C API'),
      clocks: expect.stringMatching(/^within \d+\.\d s$/),
      'all-reduce': expect.stringMatching(/^64 MiB per device: correct, \d+\.\d GB\/s per device$/),
    });
    expect(told).not.toContain('problem');
  });

  it('end together when one gets a signal, and one process with two devices resumes', async () => {
    const { file, output } = newRun();
    const interrupt = { process: 1, file: join(output, 'metrics.jsonl'), lines: 1 };
    const args = ['train', file, '--epochs', '1000'];
    const both = await run(2, { launcher: 'torchrun', args, interrupt });
    expect(both.map(({ status }) => status)).toEqual([130, 130]);
    expect(both[1]!.stderr).toContain('SIGINT: saving what is done, then exiting');
    const saved = await listCheckpoints(join(output, 'checkpoints'));
    const epochs = (await readJsonLines(join(output, 'metrics.jsonl'))).length;
    expect(saved.at(-1)).toBe(`epoch-${String(epochs).padStart(6, '0')}`);
    const more = ['train', file, '--epochs', `${epochs + 1}`];
    const [alone] = await run(1, { launcher: 'none', args: more });
    expect(alone!.status, alone!.stderr).toBe(0);
    expect(alone!.stderr).toContain(`Resumed after epoch ${epochs}`);
  });
});
