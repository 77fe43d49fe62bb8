import { PjrtError } from './errors';
import type { EventWatcher } from './events';
import { pause } from './pause';

/** A run whose end has not been seen. */
interface Run {
  /** PJRT_Event. */
  readonly event: number;
  /** The program's name: it may be disposed of by then. */
  readonly name: string;
  /** What runs, told apart by identity. */
  readonly program: object | undefined;
}

/** Failed runs to remember. */
const REMEMBERED = 16;

/** Milliseconds in which a run ends whose results have an error already: XLA tells of the one after the other. */
const PATIENCE = 5000;

/**
 * Runs under way. Where they are asynchronous a failed one gives buffers that hold its error, of memory that it did not
 * get above all: it comes up when they are read, or what was computed from them. This knows whose error it is.
 */
export class Runs {
  private readonly underWay: Run[] = [];
  private readonly failed: { name: string; error: PjrtError }[] = [];

  constructor(
    private readonly events: Pick<EventWatcher, 'isReady' | 'waitSync'>,
    private readonly wait: (milliseconds: number) => void = pause,
  ) {}

  /** Takes the event of a run's end. Returns the error of a run that has failed already, which is not remembered. */
  add(event: number, name: string, program?: object): PjrtError | undefined {
    if (event === 0) return undefined;
    this.sweep();
    if (this.events.isReady(event)) return this.errorAt(event);
    this.underWay.push({ event, name, program });
    return undefined;
  }

  /** Whether a run of this program has not ended. */
  has(program: object): boolean {
    this.sweep(true);
    return this.underWay.some((run) => run.program === program);
  }

  /**
   * An error that came up later than what failed, as the error of the program that did; itself where that is not known, after
   * some seconds if programs are under way.
   */
  traced(later: PjrtError): PjrtError {
    for (let waited = 0; ; waited++) {
      this.sweep(true);
      const found = this.failed.find(({ error }) => later.detail.includes(error.detail));
      if (found) {
        return new PjrtError(
          later.operation,
          found.error.code,
          `${found.name} failed: ${found.error.detail}`,
        );
      }
      if (this.underWay.length === 0 || waited === PATIENCE) return later;
      this.wait(1);
    }
  }

  /** Waits for all, as a client must before it ends. */
  drain(): void {
    for (const run of this.underWay.splice(0)) this.settle(run);
  }

  /** Lets go of what has ended: those before the first that has not, or all. */
  private sweep(all = false): void {
    for (let i = 0; i < this.underWay.length; ) {
      const run = this.underWay[i]!;
      if (this.events.isReady(run.event)) {
        this.underWay.splice(i, 1);
        this.settle(run);
      } else if (all) i++;
      else return;
    }
  }

  private settle({ event, name }: Run): void {
    const error = this.errorAt(event);
    if (error === undefined) return;
    this.failed.push({ name, error });
    if (this.failed.length > REMEMBERED) this.failed.shift();
  }

  /** Waits for an event and frees it; its error, if it has one. */
  private errorAt(event: number): PjrtError | undefined {
    try {
      this.events.waitSync(event, 'PjrtExecutable.execute');
      return undefined;
    } catch (error) {
      return error as PjrtError;
    }
  }
}
