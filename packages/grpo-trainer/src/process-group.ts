/** The processes that train together. */

/**
 * What a run asks of its processes; pjrt's `Cluster` is one. Every process calls `train` with the same options, and gets the
 * same losses and weights; each scores the images of its own devices.
 */
export interface ProcessGroup {
  /** From 0. */
  readonly processId: number;
  readonly numProcesses: number;
  /** What each process gives under a name, as JSON can say it, in their order; resolves when all have. */
  gatherJson<T>(name: string, value: T): Promise<T[]>;
}

/** A process by itself. */
export const oneProcess: ProcessGroup = {
  processId: 0,
  numProcesses: 1,
  gatherJson: async (_, value) => [value],
};

/**
 * A signal that all processes see at the same place: as soon as one of them is told to end, the others end with it, since none
 * can go on alone.
 */
export interface SharedSignal {
  readonly signal: AbortSignal | undefined;
  /** Whether this process has been told to end. */
  isAsked(): boolean;
  /** Takes what each process said of `isAsked`; throws the reason where one is to end. */
  heard(asked: readonly boolean[]): void;
  /** Asks all of them, without throwing. */
  ask(where: string): Promise<void>;
}

export function sharedSignal(group: ProcessGroup, own: AbortSignal | SharedSignal | undefined): SharedSignal {
  if (own && 'isAsked' in own) return own;
  const isAsked = () => own?.aborted ?? false;
  if (group.numProcesses === 1) return { signal: own, isAsked, heard: () => {}, ask: async () => {} };
  const shared = new AbortController();
  const hear = (asked: readonly boolean[]) => {
    const first = asked.indexOf(true);
    if (first >= 0)
      shared.abort(new Error(`Process ${first} was asked to stop, and the others stop with it`));
  };
  return {
    signal: shared.signal,
    isAsked,
    heard(asked) {
      hear(asked);
      shared.signal.throwIfAborted();
    },
    ask: async (where) => hear(await group.gatherJson(`ends ${where}`, isAsked())),
  };
}
