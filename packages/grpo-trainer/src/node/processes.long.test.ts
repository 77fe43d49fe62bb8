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
/** Trainings one after the other in as many processes: what each gave, by process. */
const runAll = async (
  processes: number,
  devicesPerProcess: number,
  trainings: readonly Partial<Training>[],
) => {
  const argument = trainings.map(
    (more): Training => ({ folder: newFolder(), epochs: EPOCHS, shardParameters: false, ...more }),
  );
  const results = await program.run<Trained[]>({ processes, devicesPerProcess, argument });
  return trainings.map((_, i) => results.map((process) => process[i]!));
};
const run = async (processes: number, devicesPerProcess: number, more: Partial<Training> = {}) =>
  (await runAll(processes, devicesPerProcess, [more]))[0]!;

describe('two processes of one device, and one of two', () => {
  const SHARDED = [false, true] as const;
  const stop = { process: 1, batches: 6 };
  /** With weights on every device, and split over them. */
  const both: Trained[][] = [];
  const interrupted: Trained[][] = [];
  const files: string[][] = [];
  const alone: Trained[] = [];
  const resumed: Trained[] = [];
  beforeAll(async () => {
    const folders = SHARDED.map(() => newFolder());
    const ofTwo = SHARDED.flatMap((shardParameters, i) => [
      { shardParameters },
      { shardParameters, folder: folders[i]!, stop },
    ]);
    const two = await runAll(2, 1, ofTwo);
    for (const [i, folder] of folders.entries()) {
      both.push(two[2 * i]!);
      interrupted.push(two[2 * i + 1]!);
      files.push(readdirSync(join(folder, `epoch-00000${two[2 * i + 1]![0]!.epochs}`)));
    }
    const ofOne = SHARDED.flatMap((shardParameters, i) => [
      { shardParameters },
      { shardParameters, folder: folders[i]! },
    ]);
    const one = await runAll(1, 2, ofOne);
    for (const i of SHARDED.keys()) {
      alone.push(one[2 * i]![0]!);
      resumed.push(one[2 * i + 1]![0]!);
    }
    for (const { losses, evaluations } of alone) {
      expect(losses).toHaveLength(EPOCHS);
      expect(evaluations).toHaveLength(3);
    }
  });

  describe.each(SHARDED)('parameters split over the devices: %s', (shardParameters) => {
    const i = SHARDED.indexOf(shardParameters);

    it('two processes give the bits of one with two devices, each scoring its own images', () => {
      for (const { scored, ...process } of both[i]!) {
        const { scored: all, ...expected } = alone[i]!;
        expect(process).toEqual(expected);
        expect(scored).toBeLessThan(all);
      }
      expect(both[i]![0]!.scored + both[i]![1]!.scored).toBe(alone[i]!.scored);
    });

    it('a signal in one ends all at the same place, and any number of processes resumes', () => {
      const { epochs } = interrupted[i]![0]!;
      expect(epochs).toBeGreaterThan(0);
      expect(epochs).toBeLessThan(EPOCHS);
      for (const each of interrupted[i]!) expect(each).toMatchObject({ reason: 'interrupted', epochs });
      // What all devices have comes from process 0; of what is split each process writes its part.
      const parts = ['ema', 'optimizer', 'trained'];
      expect(files[i]!.filter((name) => /\.1\.safetensors$/.test(name)).sort()).toEqual(
        shardParameters ? parts.map((part) => `${part}.1.safetensors`) : [],
      );
      expect(files[i]!.filter((name) => /^\w+\.safetensors$/.test(name)).sort()).toEqual(
        parts.map((part) => `${part}.safetensors`),
      );
      expect(resumed[i]!.losses).toEqual(alone[i]!.losses.slice(epochs));
      expect(resumed[i]!.weights).toEqual(alone[i]!.weights);
    });
  });
});

describe('algorithms that keep copies of the weights', () => {
  // With whole groups in a pass, and with two copies.
  const ALGORITHMS = ['dgpo', 'crd', 'nft', 'awm'] as const;
  const both: Trained[][] = [];
  const alone: Trained[] = [];
  const resumed: Trained[] = [];
  const files: string[][] = [];
  beforeAll(async () => {
    const runs = ALGORITHMS.map((algorithm) => ({ algorithm, shardParameters: true, folder: newFolder() }));
    const two = await runAll(
      2,
      1,
      runs.flatMap((own) => [
        { ...own, folder: newFolder() },
        { ...own, epochs: 2 },
      ]),
    );
    for (const [i, { folder }] of runs.entries()) {
      both.push(two[2 * i]!);
      files.push(readdirSync(join(folder, 'epoch-000002')));
    }
    const one = await runAll(
      1,
      2,
      runs.flatMap((own) => [{ ...own, folder: newFolder() }, own]),
    );
    for (const i of runs.keys()) {
      alone.push(one[2 * i]![0]!);
      resumed.push(one[2 * i + 1]![0]!);
    }
  });

  it.each(ALGORITHMS)('%s in two processes gives the bits of one, and one goes on from two', (algorithm) => {
    const i = ALGORITHMS.indexOf(algorithm);
    const { scored: all, ...expected } = alone[i]!;
    expect(expected.losses).toHaveLength(EPOCHS);
    for (const { scored, ...process } of both[i]!) {
      expect(process).toEqual(expected);
      expect(scored).toBeLessThan(all);
    }
    expect(files[i]).toContain('copies.1.safetensors');
    expect(resumed[i]!.losses).toEqual(expected.losses.slice(2));
    expect(resumed[i]!.weights).toEqual(expected.weights);
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
  const [, [straight]] = (await runAll(1, 1, [{ folder, epochs: 1 }, { epochs: 4 }])) as [
    Trained[],
    [Trained],
  ];
  await run(2, 1, { folder, epochs: 2, shardParameters: true });
  const four = await run(4, 1, { folder, epochs: 3, shardParameters: true });
  const [one] = (await run(1, 1, { folder, epochs: 4 })) as [Trained];
  for (const each of four) expect(each.losses).toHaveLength(1);
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
