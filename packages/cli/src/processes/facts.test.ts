import { expect, it } from 'vitest';
import { compareFacts, type ProcessFacts } from './facts';
import { distributedOptions } from './join';

const facts = (more: Partial<ProcessFacts> = {}): ProcessFacts => ({
  host: 'a',
  pid: 1,
  time: 1_000_000,
  versions: { 'flow-grpo': '1.0.0', driver: '580.1' },
  devices: '8 × H100',
  ...more,
});

it('processes that have the same versions have no problems', () => {
  const { rows, problems } = compareFacts([facts(), facts({ host: 'b', pid: 2, time: 1_000_400 })]);
  expect(problems).toEqual([]);
  expect(rows).toEqual([
    ['process 0', 'a, pid 1: 8 × H100'],
    ['process 1', 'b, pid 2: 8 × H100'],
    ['flow-grpo', '1.0.0'],
    ['driver', '580.1'],
    ['clocks', 'within 0.4 s'],
  ]);
});

it('what differs is named with its processes', () => {
  const other = { versions: { 'flow-grpo': '1.0.0', driver: '570.2' } };
  const { problems } = compareFacts([
    facts(),
    facts({ ...other, time: 1_009_000 }),
    facts({ versions: { 'flow-grpo': '1.0.0' } }),
  ]);
  expect(problems).toEqual([
    'driver differs: 580.1 (process 0); 570.2 (process 1); none (process 2)',
    'clocks differ by 9.0 s: set them by NTP',
  ]);
});

it('a place becomes options of the backend', () => {
  const place = {
    launcher: 'Slurm',
    coordinator: 'a:1',
    processId: 3,
    numProcesses: 4,
    local: { id: 1, count: 2 },
  };
  expect(distributedOptions(place, { FLOW_GRPO_SECRET: 'known to all' }, 2)).toEqual({
    distributed: {
      coordinator: 'a:1',
      processId: 3,
      numProcesses: 4,
      secret: 'known to all',
      bind: undefined,
    },
    clientOptions: { visible_devices: [1] },
  });
  const bound = distributedOptions(place, { FLOW_GRPO_SECRET: 'known to all', FLOW_GRPO_BIND: '0.0.0.0' }, 1);
  expect(bound).toMatchObject({ distributed: { bind: '0.0.0.0' } });
  expect(bound.clientOptions).toBeUndefined();
  expect(() => distributedOptions(place, {}, 2)).toThrow(/set FLOW_GRPO_SECRET/);
});
