/** Training over several processes, as threads on parts of one CPU client. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ProcessesProgram, processesProgram } from '@flow-grpo/test-support/processes';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Trained, Training } from './processes.testing';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
let program: ProcessesProgram;
let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'processes-'));
  program = await processesProgram(path('../..'), path('./processes.testing.ts'));
});
afterAll(() => {
  program.dispose();
  rmSync(root, { recursive: true });
});

const EPOCHS = 4;
let folders = 0;
const newFolder = () => join(root, `run-${folders++}`);
const run = (processes: number, devicesPerProcess: number, more: Partial<Training> = {}) =>
  program.run<Trained>({
    processes,
    devicesPerProcess,
    argument: { folder: newFolder(), epochs: EPOCHS, shardParameters: false, ...more } satisfies Training,
  });

describe.each([false, true])('parameters split over the devices: %s', (shardParameters) => {
  let alone: Trained;
  beforeAll(async () => {
    [alone] = (await run(1, 2, { shardParameters })) as [Trained];
    expect(alone.losses).toHaveLength(EPOCHS);
    expect(alone.evaluations).toHaveLength(3);
  });

  it('two processes give the bits of one with two devices, each scoring its own images', async () => {
    const both = await run(2, 1, { shardParameters });
    for (const { scored, ...process } of both) {
      const { scored: all, ...expected } = alone;
      expect(process).toEqual(expected);
      expect(scored).toBeLessThan(all);
    }
    expect(both[0]!.scored + both[1]!.scored).toBe(alone.scored);
  });

  it('a signal in one ends all at the same place, and any number of processes resumes', async () => {
    const folder = newFolder();
    const stop = { process: 1, batches: 6 };
    const interrupted = await run(2, 1, { folder, shardParameters, stop });
    const { epochs } = interrupted[0]!;
    expect(epochs).toBeGreaterThan(0);
    expect(epochs).toBeLessThan(EPOCHS);
    for (const each of interrupted) expect(each).toMatchObject({ reason: 'interrupted', epochs });
    const files = readdirSync(join(folder, `epoch-00000${epochs}`));
    // What all devices have comes from process 0; of what is split each process writes its part.
    const parts = ['ema', 'optimizer', 'trained'];
    expect(files.filter((name) => /\.1\.safetensors$/.test(name)).sort()).toEqual(
      shardParameters ? parts.map((part) => `${part}.1.safetensors`) : [],
    );
    expect(files.filter((name) => /^\w+\.safetensors$/.test(name)).sort()).toEqual(
      parts.map((part) => `${part}.safetensors`),
    );
    const [resumed] = (await run(1, 2, { folder, shardParameters })) as [Trained];
    expect(resumed.losses).toEqual(alone.losses.slice(epochs));
    expect(resumed.weights).toEqual(alone.weights);
  });
});

describe('a copy of the weights on every two of four devices', () => {
  const split = { shardParameters: true, shardFrozen: true, shardDevices: 2, epochs: 2 };
  let alone: Trained;
  beforeAll(async () => {
    [alone] = (await run(1, 4, split)) as [Trained];
  });

  it.each([
    [4, 1],
    [2, 2],
  ])('%d processes of %d devices give the bits of one process', async (processes, each) => {
    const folder = newFolder();
    const several = await run(processes, each, { ...split, folder });
    const { scored: all, ...expected } = alone;
    for (const { scored, ...process } of several) {
      expect(process).toEqual(expected);
      expect(scored).toBeLessThan(all);
    }
    // Of two copies the first processes write theirs.
    const files = readdirSync(join(folder, 'epoch-000002')).filter((name) => name.startsWith('trained'));
    expect(files).toHaveLength(Math.max(1, 2 / each));
  });
});

it('what one process wrote is read by two and what two wrote by four, whatever is split', async () => {
  const folder = newFolder();
  await run(1, 1, { folder, epochs: 1 });
  await run(2, 1, { folder, epochs: 2, shardParameters: true });
  const four = await run(4, 1, { folder, epochs: 3, shardParameters: true });
  const [one] = (await run(1, 1, { folder, epochs: 4 })) as [Trained];
  for (const each of four) expect(each.losses).toHaveLength(1);
  const [straight] = (await run(1, 1, { epochs: 4 })) as [Trained];
  expect(one.losses).toHaveLength(1);
  const difference = Math.max(...straight.weights.map((value, i) => Math.abs(value - one.weights[i]!)));
  expect(difference).toBeLessThan(1e-5);
});

it('a piece that was changed is refused by all', async () => {
  const folder = newFolder();
  await run(2, 1, { folder, epochs: 1, shardParameters: true });
  writeFileSync(join(folder, 'epoch-000001', 'ema.1.safetensors'), 'other bytes');
  await expect(run(2, 1, { folder, shardParameters: true })).rejects.toThrow(
    /ema\.1\.safetensors is damaged/,
  );
});
