/** Which of a run's processes this one is, from what a cluster sets already. */
import { ConfigError } from '@flow-grpo/grpo-trainer';

/** What the command line says about processes; each part is left out where a launcher gives it. */
export interface PlaceFlags {
  readonly coordinator?: string | undefined;
  readonly process?: string | undefined;
  readonly processes?: string | undefined;
}

/** This process's place in a run of several. */
export interface ProcessPlace {
  /** Who gave the numbers, in words. */
  readonly launcher: string;
  /** host:port */
  readonly coordinator: string;
  readonly processId: number;
  readonly numProcesses: number;
  /** This process's number on its machine, and how many there are on it, where the launcher tells. */
  readonly local?: { readonly id: number; readonly count: number } | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where nothing names a port. */
const PORT = 29_400;

interface Numbers extends Omit<ProcessPlace, 'coordinator'> {
  /** Undefined where the launcher names none. */
  readonly coordinator: string | undefined;
}

/**
 * The place that the flags or a launcher's variables give: torchrun's (and Kubeflow's), Open MPI's, Slurm's for a step of
 * `srun`, or those of a Kubernetes Indexed Job; the innermost launcher counts.
 *
 * @returns undefined for a run of one process
 * @throws {ConfigError} when the flags do not fit together or the launcher, or nothing says where the coordinator is.
 */
export function placeInRun(flags: PlaceFlags, environment: Environment): ProcessPlace | undefined {
  const given = byFlags(flags);
  const found =
    given ??
    torchrun(environment) ??
    openMpi(environment) ??
    slurm(environment) ??
    indexedJob(flags, environment);
  if (found === undefined) {
    if (flags.coordinator !== undefined)
      throw new ConfigError('--coordinator needs --process and --processes, or a launcher that gives them');
    if (flags.processes !== undefined)
      throw new ConfigError('--processes needs --process and --coordinator, or a launcher that gives them');
    return undefined;
  }
  if (flags.processes !== undefined && Number(flags.processes) !== found.numProcesses) {
    throw new ConfigError(
      `--processes ${flags.processes} contradicts ${found.launcher}, which has ${found.numProcesses}: leave it out`,
    );
  }
  if (found.processId >= found.numProcesses) {
    throw new ConfigError(
      `${found.launcher}: process ${found.processId} of ${found.numProcesses}; process numbers start at 0`,
    );
  }
  if (found.numProcesses === 1) return undefined;
  const coordinator = flags.coordinator ?? found.coordinator ?? alone(found);
  if (coordinator === undefined) {
    throw new ConfigError(
      `${found.launcher} does not say where process 0 is: give --coordinator HOST:PORT, or set MASTER_ADDR`,
    );
  }
  return { ...found, coordinator: /:\d+$/.test(coordinator) ? coordinator : `${coordinator}:${PORT}` };
}

function byFlags({ process, processes, coordinator }: PlaceFlags): Numbers | undefined {
  if (process === undefined) return undefined;
  if (processes === undefined) throw new ConfigError('--process needs --processes, the number of processes');
  const numbers = [
    ['--process', process, 0],
    ['--processes', processes, 1],
  ] as const;
  const [processId, numProcesses] = numbers.map(([flag, text, low]) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isInteger(value) && value >= low) return value;
    throw new ConfigError(`${flag} ${text}: give a whole number of at least ${low}`);
  });
  return { launcher: '--process', processId: processId!, numProcesses: numProcesses!, coordinator };
}

/** torchrun, and whatever sets the same variables. */
function torchrun(environment: Environment): Numbers | undefined {
  const { RANK, WORLD_SIZE, MASTER_ADDR, LOCAL_RANK, LOCAL_WORLD_SIZE, TORCHELASTIC_RUN_ID } = environment;
  const [processId, numProcesses] = [whole(RANK), whole(WORLD_SIZE)];
  if (processId === undefined || numProcesses === undefined || !MASTER_ADDR) return undefined;
  return {
    launcher: TORCHELASTIC_RUN_ID ? 'torchrun' : 'RANK and WORLD_SIZE',
    processId,
    numProcesses,
    // torchrun listens at the port itself.
    coordinator: master(environment, TORCHELASTIC_RUN_ID ? 1 : 0),
    local: local(LOCAL_RANK, LOCAL_WORLD_SIZE),
  };
}

function openMpi(environment: Environment): Numbers | undefined {
  const processId = whole(environment.OMPI_COMM_WORLD_RANK);
  const numProcesses = whole(environment.OMPI_COMM_WORLD_SIZE);
  if (processId === undefined || numProcesses === undefined) return undefined;
  const { OMPI_COMM_WORLD_LOCAL_RANK, OMPI_COMM_WORLD_LOCAL_SIZE } = environment;
  return {
    launcher: 'Open MPI',
    processId,
    numProcesses,
    coordinator: master(environment),
    local: local(OMPI_COMM_WORLD_LOCAL_RANK, OMPI_COMM_WORLD_LOCAL_SIZE),
  };
}

/** A step of srun; the batch script itself is no process of the run. */
function slurm(environment: Environment): Numbers | undefined {
  const { SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_STEP_NODELIST, SLURM_JOB_ID } = environment;
  const [processId, numProcesses] = [whole(SLURM_PROCID), whole(SLURM_STEP_NUM_TASKS)];
  if (processId === undefined || numProcesses === undefined || !SLURM_STEP_NODELIST) return undefined;
  const { SLURM_LOCALID, SLURM_NODEID, SLURM_STEP_TASKS_PER_NODE } = environment;
  const tasks = tasksPerNode(SLURM_STEP_TASKS_PER_NODE ?? '')[whole(SLURM_NODEID) ?? 0];
  // Jobs that share a machine have other ports.
  const port = 20_000 + ((whole(SLURM_JOB_ID) ?? 0) % 10_000);
  return {
    launcher: 'Slurm',
    processId,
    numProcesses,
    coordinator: master(environment) ?? `${firstHost(SLURM_STEP_NODELIST)}:${port}`,
    local: local(SLURM_LOCALID, tasks?.toString()),
  };
}

/** An Indexed Job is one run only where something says how many processes it has and where they meet. */
function indexedJob({ processes, coordinator }: PlaceFlags, environment: Environment): Numbers | undefined {
  const processId = whole(environment.JOB_COMPLETION_INDEX);
  const numProcesses = whole(processes ?? environment.WORLD_SIZE);
  if (processId === undefined || numProcesses === undefined) return undefined;
  const found = coordinator ?? master(environment);
  if (found === undefined) return undefined;
  return { launcher: 'Kubernetes', processId, numProcesses, coordinator: found, local: { id: 0, count: 1 } };
}

/** MASTER_ADDR and MASTER_PORT. */
function master({ MASTER_ADDR, MASTER_PORT }: Environment, after = 0): string | undefined {
  if (!MASTER_ADDR) return undefined;
  const host = MASTER_ADDR.includes(':') ? `[${MASTER_ADDR}]` : MASTER_ADDR;
  return `${host}:${(whole(MASTER_PORT) ?? PORT) + after}`;
}

/** Processes that are all on this machine meet there. */
const alone = ({ local, numProcesses }: Numbers): string | undefined =>
  local?.count === numProcesses ? '127.0.0.1' : undefined;

function local(id: string | undefined, count: string | undefined): ProcessPlace['local'] {
  const [own, all] = [whole(id), whole(count)];
  return own === undefined || all === undefined ? undefined : { id: own, count: all };
}

function whole(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** The first host of Slurm's `node[003-006,010]-ib,other`. */
export function firstHost(list: string): string {
  const match = /^([^[,]*)(?:\[([^\],-]+)[^\]]*\])?([^,[]*)/.exec(list);
  return `${match?.[1] ?? ''}${match?.[2] ?? ''}${match?.[3] ?? ''}`;
}

/** Slurm's `2(x3),1`: tasks of each node. */
export function tasksPerNode(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const match = /^(\d+)(?:\(x(\d+)\))?$/.exec(part);
    return match ? Array.from({ length: Number(match[2] ?? 1) }, () => Number(match[1])) : [];
  });
}

/**
 * The GPUs, by their number among the visible ones, of a process that shares its machine with others of the run; undefined for
 * all that it sees.
 *
 * @param gpus how many this process sees
 * @throws {ConfigError} when they cannot be shared evenly
 */
export function ownGpus({ local }: ProcessPlace, gpus: number): number[] | undefined {
  // A launcher that gave each process its own GPU has left nothing to share.
  if (local === undefined || local.count === 1 || gpus <= 1) return undefined;
  if (gpus % local.count !== 0) {
    throw new ConfigError(
      `${local.count} processes on this machine cannot share its ${gpus} GPUs evenly: start as many as there are GPUs, or one`,
    );
  }
  const share = gpus / local.count;
  return Array.from({ length: share }, (_, i) => local.id * share + i);
}
