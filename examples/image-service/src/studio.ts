/** A bounded queue in front of one drawing thread. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { DrawMessage, Order, WorkerMessage, WorkerSettings } from './messages';

/** The queue is full; the caller may try again later. */
export class BusyError extends Error {
  override readonly name = 'BusyError';
}

interface Job {
  readonly id: number;
  readonly order: Order;
  readonly cancelled: SharedArrayBuffer;
  readonly resolve: (png: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

export interface StudioOptions extends WorkerSettings {
  /** Orders that may wait; further ones are refused, so that memory is bounded. */
  readonly maxWaiting: number;
  /** The drawing thread's program. */
  readonly program: URL;
}

export interface Studio {
  /** Orders that wait, the one being drawn left out. */
  readonly waiting: number;
  /** Tensors that the drawing thread held after its last order; undefined before the first. */
  readonly tensors: number | undefined;
  /** Settles with what ended the drawing thread; orders fail from then on. */
  readonly ended: Promise<Error>;
  /**
   * A PNG of the order, drawn after those before it.
   *
   * @throws {BusyError} when too many wait; the signal's reason when it is aborted: an order that waits leaves the queue, one
   *   that is being drawn ends at its next step
   */
  draw(order: Order, signal: AbortSignal): Promise<Uint8Array>;
  /** Ends the drawing thread; orders that wait fail. */
  close(): Promise<void>;
}

/** Starts the drawing thread and resolves once its model is loaded. Throws what the thread throws. */
export async function openStudio({ maxWaiting, program, ...settings }: StudioOptions): Promise<Studio> {
  const worker = new Worker(program, { workerData: settings satisfies WorkerSettings });
  const queue: Job[] = [];
  let current: Job | undefined;
  let nextId = 0;
  let failure: Error | undefined;
  let tensors: number | undefined;
  let end: (error: Error) => void;
  const ended = new Promise<Error>((resolve) => {
    end = resolve;
  });

  const advance = () => {
    current = queue.shift();
    if (!current) return;
    const { id, order, cancelled } = current;
    worker.postMessage({ id, order, cancelled } satisfies DrawMessage);
  };
  const failAll = (error: Error) => {
    failure ??= error;
    end(failure);
    for (const job of [...(current ? [current] : []), ...queue.splice(0)]) job.reject(failure);
    current = undefined;
  };
  worker.on('message', (message: WorkerMessage) => {
    if (message.kind === 'ready' || message.id !== current?.id) return;
    tensors = message.tensors;
    if (message.kind === 'drawn') current.resolve(message.png);
    else current.reject(new Error(message.message));
    advance();
  });
  worker.on('error', failAll);
  worker.on('exit', (code) => failAll(new Error(`the drawing thread ended with ${code}`)));
  await once(worker, 'message'); // ready; an error of the thread rejects

  return {
    get waiting() {
      return queue.length;
    },
    get tensors() {
      return tensors;
    },
    ended,
    async draw(order, signal) {
      signal.throwIfAborted();
      if (failure) throw failure;
      if (queue.length >= maxWaiting) throw new BusyError(`${queue.length} orders wait already`);
      const cancelled = new SharedArrayBuffer(4);
      const leave = () => {
        Atomics.store(new Int32Array(cancelled), 0, 1);
        const at = queue.findIndex((job) => job.cancelled === cancelled);
        if (at >= 0) queue.splice(at, 1)[0]!.reject(signal.reason as Error);
      };
      signal.addEventListener('abort', leave, { once: true });
      try {
        return await new Promise<Uint8Array>((resolve, reject) => {
          queue.push({ id: nextId++, order, cancelled, resolve, reject });
          if (!current) advance();
        });
      } catch (error) {
        signal.throwIfAborted();
        throw error;
      } finally {
        signal.removeEventListener('abort', leave);
      }
    },
    async close() {
      failAll(new Error('the service is closing'));
      await worker.terminate();
    },
  };
}
