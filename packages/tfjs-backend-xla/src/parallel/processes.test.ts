/** Several processes that share devices, as threads on parts of one CPU client. */
import { fileURLToPath } from 'node:url';
import { type ProcessesProgram, processesProgram } from '@flow-grpo/test-support/processes';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
let program: ProcessesProgram;
beforeAll(async () => {
  program = await processesProgram(path('../..'), path('./processes.testing.ts'));
});
afterAll(() => program.dispose());

interface Shard {
  device: number;
  start: number[];
  shape: number[];
}
interface Result {
  devices: { process: number; isLocal: boolean }[];
  smaller: string;
  total: number[];
  summed: number[];
  gathered: number[];
  gradient: number[];
  unread: string;
  unreadLater: string;
  shards: Shard[];
  shardsOfColumns: Shard[];
  shardsOfReplicated: Shard[];
  eager: number[];
  columns: number[];
  local: {
    shape: number[];
    mesh: object | null;
    values: number[];
    mine: number[];
    gone: string;
    single: number[];
  };
}

describe.each([
  [2, 1],
  [2, 2],
  [4, 1],
])('%i processes of %i devices', (processes, devicesPerProcess) => {
  const size = processes * devicesPerProcess;
  const count = (n: number) => Array.from({ length: n }, (_, i) => i);
  let results: Result[];
  let alone: Result;
  beforeAll(async () => {
    results = await program.run<Result>({ processes, devicesPerProcess });
    [alone] = (await program.run<Result>({ processes: 1, devicesPerProcess: size })) as [Result];
  });

  it('see all devices, and whose they are', () => {
    results.forEach(({ devices }, id) => {
      expect(devices).toEqual(
        count(size).map((device) => {
          const process = Math.floor(device / devicesPerProcess);
          return { process, isLocal: process === id };
        }),
      );
    });
  });

  it('compute what one process does with as many devices, to the bit', () => {
    for (const { total, summed, gathered, gradient, eager, columns } of results) {
      expect(total).toEqual(alone.total);
      expect(summed).toEqual([18 * size * size - 3 * size]);
      expect(gathered).toEqual(count(6 * size).map((i) => 2 * i));
      expect(eager).toEqual(count(6 * size).map((i) => 2 * i));
      expect(columns).toEqual(count(size * size));
      expect(gradient).toEqual(alone.gradient);
    }
    expect(alone.gradient.every((value) => value !== 0)).toBe(true);
  });

  it('have the parts of their own devices, each part in one process', () => {
    const of = (id: number) => count(devicesPerProcess).map((i) => id * devicesPerProcess + i);
    results.forEach(({ shards, shardsOfColumns, shardsOfReplicated }, id) => {
      expect(shards).toEqual(of(id).map((device) => ({ device, start: [2 * device, 0], shape: [2, 3] })));
      expect(shardsOfColumns).toEqual(
        of(id).map((device) => ({ device, start: [0, device], shape: [size, 1] })),
      );
      expect(shardsOfReplicated).toEqual(id === 0 ? [{ device: 0, start: [0, 0], shape: [3, 3] }] : []);
    });
  });

  it('say of a tensor that is partly elsewhere how to gather it', () => {
    for (const { unread, unreadLater } of results) {
      const parts = size - devicesPerProcess;
      for (const message of [unread, unreadLater]) {
        expect(message).toMatch(`${parts} of its ${size} parts on other processes, not on this one`);
        expect(message).toMatch(/replicate\(x, mesh\).*readShards/);
      }
    }
  });

  it('take the rows of their own, and run programs of their own on them', () => {
    results.forEach(({ local }, id) => {
      const rows = 2 * devicesPerProcess;
      const values = count(3 * rows).map((i) => 2 * (3 * rows * id + i));
      expect(local).toMatchObject({ shape: [rows, 3], values, mine: values.map((value) => value + id) });
      expect(local.mesh).toEqual(
        devicesPerProcess === 1
          ? null
          : { axes: { data: devicesPerProcess }, size: devicesPerProcess, local: true },
      );
      expect(local.gone).toMatch(/disposed/);
      expect(local.single).toEqual(
        [0, 1, 2].map((c) => values.filter((_, i) => i % 3 === c).reduce((a, b) => a + b)),
      );
    });
  });

  it('need all devices in a mesh', () => {
    for (const { smaller } of results) {
      expect(smaller).toMatch(`takes ${size - 1} of ${size} devices, which several processes share`);
    }
  });
});
