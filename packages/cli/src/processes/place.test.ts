import { describe, expect, it } from 'vitest';
import { firstHost, ownGpus, placeInRun, tasksPerNode } from './place';

const slurm = {
  SLURM_JOB_ID: '1234567',
  SLURM_PROCID: '5',
  SLURM_LOCALID: '1',
  SLURM_NODEID: '1',
  SLURM_STEP_NUM_TASKS: '8',
  SLURM_STEP_NODELIST: 'gpu[03-04]',
  SLURM_STEP_TASKS_PER_NODE: '4(x2)',
};
const torch = {
  RANK: '3',
  WORLD_SIZE: '16',
  LOCAL_RANK: '3',
  LOCAL_WORLD_SIZE: '8',
  MASTER_ADDR: 'node0',
  MASTER_PORT: '29500',
};
const mpi = {
  OMPI_COMM_WORLD_RANK: '2',
  OMPI_COMM_WORLD_SIZE: '4',
  OMPI_COMM_WORLD_LOCAL_RANK: '0',
  OMPI_COMM_WORLD_LOCAL_SIZE: '2',
};

it.each<[string, Parameters<typeof placeInRun>[0], Record<string, string>, object | undefined]>([
  ['nothing', {}, {}, undefined],
  [
    'flags',
    { coordinator: 'a:1', process: '1', processes: '2' },
    {},
    { coordinator: 'a:1', processId: 1, numProcesses: 2 },
  ],
  ['flags of one process', { coordinator: 'a:1', process: '0', processes: '1' }, {}, undefined],
  [
    'flags before a launcher',
    { coordinator: 'a:1', process: '0', processes: '2' },
    slurm,
    { processId: 0, numProcesses: 2 },
  ],
  [
    'a flag without a port',
    { coordinator: 'a', process: '1', processes: '2' },
    {},
    { coordinator: 'a:29400' },
  ],
  [
    'Slurm',
    {},
    slurm,
    {
      launcher: 'Slurm',
      coordinator: 'gpu03:24567',
      processId: 5,
      numProcesses: 8,
      local: { id: 1, count: 4 },
    },
  ],
  ['Slurm with MASTER_ADDR', {}, { ...slurm, MASTER_ADDR: '10.0.0.1' }, { coordinator: '10.0.0.1:29400' }],
  ['Slurm with a flag', { coordinator: 'b:7' }, slurm, { coordinator: 'b:7', processId: 5 }],
  ['Slurm’s batch script, which is no step', {}, { SLURM_PROCID: '0', SLURM_NTASKS: '8' }, undefined],
  ['a step of one task', {}, { ...slurm, SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '1' }, undefined],
  [
    'torchrun, which listens at its port itself',
    {},
    { ...torch, TORCHELASTIC_RUN_ID: 'x' },
    {
      launcher: 'torchrun',
      coordinator: 'node0:29501',
      processId: 3,
      numProcesses: 16,
      local: { id: 3, count: 8 },
    },
  ],
  ['torchrun inside srun', {}, { ...slurm, ...torch }, { processId: 3, numProcesses: 16 }],
  [
    'Kubeflow’s PyTorchJob',
    {},
    { RANK: '1', WORLD_SIZE: '2', MASTER_ADDR: 'job-master-0', MASTER_PORT: '23456' },
    { coordinator: 'job-master-0:23456', processId: 1, local: undefined },
  ],
  ['an address of IPv6', {}, { ...torch, MASTER_ADDR: 'fd00::1' }, { coordinator: '[fd00::1]:29500' }],
  ['RANK of something else', {}, { RANK: '1' }, undefined],
  [
    'Open MPI',
    { coordinator: 'c:9' },
    mpi,
    { launcher: 'Open MPI', coordinator: 'c:9', processId: 2, local: { id: 0, count: 2 } },
  ],
  ['Open MPI with MASTER_ADDR', {}, { ...mpi, MASTER_ADDR: 'd' }, { coordinator: 'd:29400' }],
  [
    'Open MPI on one machine',
    {},
    { ...mpi, OMPI_COMM_WORLD_LOCAL_SIZE: '4' },
    { coordinator: '127.0.0.1:29400' },
  ],
  [
    'an Indexed Job',
    {},
    { JOB_COMPLETION_INDEX: '1', WORLD_SIZE: '4', MASTER_ADDR: 'train-0.train', MASTER_PORT: '1234' },
    { launcher: 'Kubernetes', coordinator: 'train-0.train:1234', processId: 1, numProcesses: 4 },
  ],
  [
    'an Indexed Job with flags',
    { processes: '4', coordinator: 'train-0.train:1234' },
    { JOB_COMPLETION_INDEX: '3' },
    { processId: 3, numProcesses: 4 },
  ],
  ['an Indexed Job of runs for themselves', {}, { JOB_COMPLETION_INDEX: '3' }, undefined],
])('%s', (_, flags, environment, expected) => {
  const place = placeInRun(flags, environment);
  if (expected === undefined) expect(place).toBeUndefined();
  else expect(place).toMatchObject(expected);
});

it.each<[string, Parameters<typeof placeInRun>[0], Record<string, string>, RegExp]>([
  ['a coordinator alone', { coordinator: 'a:1' }, {}, /needs --process and --processes/],
  ['a process alone', { process: '1' }, {}, /--process needs --processes/],
  ['a count alone', { processes: '2' }, {}, /--processes needs --process and --coordinator, or a launcher/],
  ['a count that is none, alone', { processes: '-1' }, {}, /--processes needs --process/],
  [
    'an Indexed Job that meets nowhere',
    { processes: '4' },
    { JOB_COMPLETION_INDEX: '3' },
    /--processes needs --process and --coordinator, or a launcher/,
  ],
  [
    'another count than the launcher’s',
    { processes: '4' },
    torch,
    /--processes 4 contradicts RANK and WORLD_SIZE, which has 16/,
  ],
  ['a negative process', { process: '-1', processes: '2' }, {}, /--process -1: give a whole number/],
  ['a number that is none', { process: 'x', processes: '2' }, {}, /--process x: give a whole number/],
  ['an empty number', { process: '', processes: '2' }, {}, /--process : give a whole number/],
  ['no processes', { process: '0', processes: '0' }, {}, /--processes 0: .* at least 1/],
  [
    'a process too many',
    { coordinator: 'a:1', process: '2', processes: '2' },
    {},
    /process 2 of 2; process numbers start at 0/,
  ],
  [
    'no coordinator',
    { process: '1', processes: '2' },
    {},
    /does not say where process 0 is: give --coordinator/,
  ],
  ['Open MPI on two machines', {}, mpi, /Open MPI does not say where process 0 is/],
])('%s is refused', (_, flags, environment, message) => {
  expect(() => placeInRun(flags, environment)).toThrow(message);
});

describe('Slurm’s lists', () => {
  it.each([
    ['node1', 'node1'],
    ['node1,node2', 'node1'],
    ['node[003-006,010],other', 'node003'],
    ['node[7,9]', 'node7'],
    ['rack2-n[1-4]-ib', 'rack2-n1-ib'],
  ])('%s begins with %s', (list, host) => {
    expect(firstHost(list)).toBe(host);
  });
  it('give tasks of each node', () => {
    expect(tasksPerNode('2(x3),1')).toEqual([2, 2, 2, 1]);
    expect(tasksPerNode('')).toEqual([]);
  });
});

it('processes of one machine share its GPUs', () => {
  const place = { launcher: 'x', coordinator: 'a:1', processId: 9, numProcesses: 16 };
  expect(ownGpus(place, 8)).toBeUndefined();
  expect(ownGpus({ ...place, local: { id: 0, count: 1 } }, 8)).toBeUndefined();
  expect(ownGpus({ ...place, local: { id: 1, count: 8 } }, 8)).toEqual([1]);
  expect(ownGpus({ ...place, local: { id: 1, count: 2 } }, 8)).toEqual([4, 5, 6, 7]);
  expect(ownGpus({ ...place, local: { id: 1, count: 8 } }, 1)).toBeUndefined();
  expect(() => ownGpus({ ...place, local: { id: 0, count: 3 } }, 8)).toThrow(/3 processes .* 8 GPUs evenly/);
});
