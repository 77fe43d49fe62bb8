/** The processes of a run that share one XLA, as this one sees them. */
import { MessageChannel, Worker } from 'node:worker_threads';
import { invalid, PjrtError } from '../errors';

export interface DistributedOptions {
  /** `host:port` at which process 0 listens and where the others find it. Port 0 is any free one, for a run of one process. */
  coordinator: string;
  /** Number of this process, from 0. */
  processId: number;
  numProcesses: number;
  /** Known to all processes of the run and to nobody else. Values are not encrypted: the network must be a trusted one. */
  secret: string;
  /** The address that process 0 listens at, where that is not the coordinator's (behind a translated address). */
  bind?: string | undefined;
  /** Milliseconds that processes wait for one another at the start. Default 10 minutes. */
  joinMs?: number | undefined;
  /** Milliseconds without a sign of life after which a process is lost. Default 30 seconds. */
  silenceMs?: number | undefined;
  /**
   * Called when another process is lost. By default this process then prints who and why, and ends with status 75 at once,
   * since it may be stuck in a collective that cannot end.
   */
  onPeerLost?: ((reason: string) => void) | undefined;
}

const JOIN_MS = 600_000;
const SILENCE_MS = 30_000;
/** Milliseconds that the end of a process waits for the others to be told. */
const LEAVE_MS = 5000;

/** Addresses of PJRT's key-value callbacks. */
export interface KeyValueCallbacks {
  readonly get: number;
  readonly tryGet: number;
  readonly put: number;
}

/** A run's processes. */
export class Cluster {
  /** @internal */
  constructor(
    readonly processId: number,
    readonly numProcesses: number,
    /** The port that the coordinator listens at. */
    readonly port: number,
    private readonly link: Worker,
    private readonly left: Int32Array<SharedArrayBuffer>,
  ) {}

  private readonly workers: Worker[] = [];
  private readonly open = new Map<number, (answer: { value?: string; values?: string[] }) => void>();
  private next = 0;
  private ended = false;
  /** @internal Why the run cannot go on, where another process is lost. */
  lost: string | undefined;

  /** What each process gave under this name, in their order, once all have. A name is free again then. */
  async gather(name: string, value: Uint8Array): Promise<Uint8Array<ArrayBuffer>[]> {
    const { values } = await this.ask({
      op: 'gather',
      key: name,
      value: Buffer.from(value).toString('base64'),
    });
    if (values === undefined) {
      throw new PjrtError('Cluster.gather', 'UNAVAILABLE', `${this.lost ?? 'the coordinator is gone'}.`);
    }
    return values.map((each) => Uint8Array.from(Buffer.from(each, 'base64')));
  }

  /** The same for what JSON can say. */
  async gatherJson<T>(name: string, value: T): Promise<T[]> {
    const all = await this.gather(name, new TextEncoder().encode(JSON.stringify(value)));
    return all.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as T);
  }

  /** Returns when all processes have come to it. */
  async barrier(name: string): Promise<void> {
    await this.gather(`barrier ${name}`, new Uint8Array());
  }

  /**
   * Leaves the run; blocks until the others know. With a status other than 0 they end, too. Happens by itself when the process
   * ends, with its status: leave before where that is not 0 and yet all is well.
   */
  leave(status = 0): void {
    if (this.ended) return;
    this.ended = true;
    process.off('exit', this.atExit);
    this.link.postMessage({ leave: status });
    Atomics.wait(this.left, 0, 0, LEAVE_MS);
    // A client's callbacks are answered as long as it is there.
    if (this.workers.length === 0) this.close();
  }

  /** @internal The client is gone: nothing calls back any more. */
  close(): void {
    for (const worker of [this.link, ...this.workers.splice(0)]) void worker.terminate();
  }

  /** @internal Threads that XLA's callbacks run on. */
  async keyValueCallbacks(): Promise<KeyValueCallbacks> {
    const [get] = await this.callbacks(['get']);
    const [tryGet, put] = await this.callbacks(['tryGet', 'put']);
    return { get: get!, tryGet: tryGet!, put: put! };
  }

  private async callbacks(names: readonly string[]): Promise<number[]> {
    const { port1, port2 } = new MessageChannel();
    const flag = new Int32Array(new SharedArrayBuffer(4));
    this.link.postMessage({ callbacks: { port: port1, flag } }, [port1]);
    const worker = startWorker('callbacks-worker.mjs', { names, port: port2, flag }, [port2]);
    this.workers.push(worker);
    const { pointers } = await firstMessage<{ pointers: number[] }>(worker);
    return pointers;
  }

  private ask(ask: object): Promise<{ value?: string; values?: string[] }> {
    if (this.ended) throw invalid('Cluster', 'this process has left the run.');
    const to = this.next++;
    return new Promise((resolve) => {
      this.open.set(to, resolve);
      this.link.postMessage({ ask, to });
      this.link.ref();
    });
  }

  /** @internal */
  answered({ to, ...answer }: { to: number; values?: string[] }): void {
    this.open.get(to)?.(answer);
    this.open.delete(to);
    if (this.open.size === 0) this.link.unref();
  }

  /** @internal */
  readonly atExit = (status: number): void => this.leave(status);

  /** @internal Leaves after what has asked for the end of the process so far. */
  leaveLast(): void {
    process.off('exit', this.atExit);
    process.on('exit', this.atExit);
  }
}

/**
 * Joins the other processes of a run; process 0 starts the coordinator.
 *
 * @throws PjrtError when the options do not fit together, the coordinator cannot listen or be reached, or refuses this process.
 */
export async function joinCluster(options: DistributedOptions): Promise<Cluster> {
  const operation = 'joinCluster';
  const { processId, numProcesses, secret, bind, onPeerLost } = options;
  const { host, port } = address(options.coordinator);
  if (!Number.isInteger(numProcesses) || numProcesses < 1) {
    throw invalid(operation, `numProcesses must be a whole number of at least 1, not ${numProcesses}.`);
  }
  if (!Number.isInteger(processId) || processId < 0 || processId >= numProcesses) {
    throw invalid(operation, `processId must be 0 to ${numProcesses - 1}, not ${processId}.`);
  }
  if (typeof secret !== 'string' || secret.length < 8) {
    throw invalid(operation, 'the secret must have at least 8 characters, and be the same in all processes.');
  }
  const left = new Int32Array(new SharedArrayBuffer(4));
  const link = startWorker('link-worker.mjs', {
    host,
    port,
    bind,
    secret,
    id: processId,
    processes: numProcesses,
    joinMs: options.joinMs ?? JOIN_MS,
    silenceMs: options.silenceMs ?? SILENCE_MS,
    tellMain: onPeerLost !== undefined,
    left,
  });
  const first = await firstMessage<{ joined?: number; failed?: string }>(link);
  if (first.failed !== undefined) {
    await link.terminate();
    throw new PjrtError(operation, 'UNAVAILABLE', first.failed);
  }
  const cluster = new Cluster(processId, numProcesses, first.joined!, link, left);
  link.on('message', (message: { lost: string } | { to: number }) => {
    if ('lost' in message) {
      cluster.lost = message.lost;
      onPeerLost?.(message.lost);
    } else cluster.answered(message);
  });
  link.unref();
  process.on('exit', cluster.atExit);
  return cluster;
}

/** `host:port`; the host of IPv6 in brackets. */
function address(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65_535) {
    throw invalid('joinCluster', `the coordinator must be given as host:port, not ${text}.`);
  }
  return { host: (match[1] ?? match[2])!, port: Number(match[3]) };
}

function startWorker(file: string, workerData: object, transferList: MessageChannel['port1'][] = []): Worker {
  const worker = new Worker(new URL(`./${file}`, import.meta.url), {
    workerData: workerData as never,
    transferList,
  });
  worker.unref();
  return worker;
}

function firstMessage<T>(worker: Worker): Promise<T> {
  worker.ref();
  return new Promise((resolve, reject) => {
    const done = (settle: () => void) => {
      worker.off('error', onError);
      worker.unref();
      settle();
    };
    const onError = (error: Error) => done(() => reject(error));
    worker.once('error', onError);
    worker.once('message', (message: T) => done(() => resolve(message)));
  });
}
