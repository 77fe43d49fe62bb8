/** A Python tuple, kept apart from lists because dictionary keys and persistent ids are tuples. */
export class PickleTuple {
  constructor(readonly items: readonly unknown[]) {}
}

/** What an allow-listed global stands for. A pickle may call it when `call` is there, and nothing else. */
export interface PickleGlobal {
  readonly call?: ((args: readonly unknown[]) => unknown) | undefined;
}

/** What a pickle may reach outside itself. Functions say what is wrong with their arguments by a TypeError. */
export interface PickleHost {
  /** The object a global stands for, or undefined to refuse it. */
  readonly global: (module: string, name: string) => PickleGlobal | undefined;
  /** Resolves a persistent id; pickles with persistent ids are refused without it. */
  readonly persistent?: (id: unknown) => unknown;
  /** Gives a state to an object that a global made; pickles that do so are refused without it. */
  readonly build?: (object: unknown, state: unknown) => void;
}
