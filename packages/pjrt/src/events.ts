import type { PjrtApi } from './api';

/** With several events under way, one that ends before the oldest is noticed after this many milliseconds. */
const POLL_MS = 2;

interface Pending {
  event: number;
  keep: unknown;
  operation: string;
  resolve: (at: number) => void;
  reject: (error: Error) => void;
}

/**
 * Turns PJRT_Events into promises without blocking: one worker thread awaits the oldest event, the others are
 * looked at when it ends and by a timer. PJRT's own callbacks would block XLA's threads until the event loop runs,
 * which deadlocks when the loop itself waits for XLA.
 */
export class EventWatcher {
  private pending: Pending[] = [];
  private watching = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly api: PjrtApi) {}

  get count(): number {
    return this.pending.length;
  }

  /**
   * Resolves when `event` has happened, with when that was noticed (`performance.now()`), and frees it; 0 is an event
   * of the past. `keep` stays reachable.
   */
  wait(event: number, operation: string, keep?: unknown): Promise<number> {
    if (event === 0) return Promise.resolve(performance.now());
    return new Promise((resolve, reject) => {
      const entry = { event, keep, operation, resolve, reject };
      if (this.isReady(event)) this.settle(entry);
      else {
        this.pending.push(entry);
        this.watch();
      }
    });
  }

  /** Blocks until `event` has happened, and frees it. */
  waitSync(event: number, operation: string): void {
    if (event === 0) return;
    try {
      this.api.call('Event_Await', 3, [event], operation);
    } finally {
      this.api.call('Event_Destroy', 3, [event]);
    }
  }

  /** Whether `event` has happened; keeps it. */
  isReady(event: number): boolean {
    return this.api.call('Event_IsReady', 4, [event]).getBool(3);
  }

  private settle({ event, operation, resolve, reject }: Pending): void {
    try {
      this.waitSync(event, operation);
      resolve(performance.now());
    } catch (error) {
      reject(error as Error);
    }
  }

  private watch(): void {
    if (this.pending.length > 1) this.timer ??= setTimeout(() => this.poll(), POLL_MS);
    if (this.watching) return;
    const oldest = this.pending[0];
    if (oldest === undefined) return;
    this.watching = true;
    const done = () => {
      this.watching = false;
      this.pending.splice(this.pending.indexOf(oldest), 1);
      this.settle(oldest);
      this.sweep(undefined);
      this.watch();
    };
    // The error, if any, is read again by settle: an event reports it as often as it is asked.
    this.api.callAsync('Event_Await', 3, [oldest.event], oldest.keep).then(done, done);
  }

  private poll(): void {
    this.timer = undefined;
    this.sweep(this.watching ? this.pending[0] : undefined);
    if (this.pending.length > 1) this.timer = setTimeout(() => this.poll(), POLL_MS);
  }

  /** Settles all that is ready, but `except`, which a worker thread holds. */
  private sweep(except: Pending | undefined): void {
    const ready = this.pending.filter((entry) => entry !== except && this.isReady(entry.event));
    if (ready.length === 0) return;
    this.pending = this.pending.filter((entry) => !ready.includes(entry));
    for (const entry of ready) this.settle(entry);
  }
}
