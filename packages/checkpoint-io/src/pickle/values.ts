/** A Python tuple, kept apart from lists because dictionary keys and persistent ids are tuples. */
export class PickleTuple {
  constructor(readonly items: readonly unknown[]) {}
}

/** What an allow-listed global stands for. A pickle may call it when `call` is there, and nothing else. */
export interface PickleGlobal {
  readonly call?: ((args: readonly unknown[]) => unknown) | undefined;
}

/**
 * Stands for a class or function that the host does not know, and for whatever a pickle makes with it. Nothing of it runs;
 * `parts` are the arguments, states and items that it was given.
 */
export class PickleForeign {
  constructor(
    /** Module and name, joined with a dot. */
    readonly name: string,
    /** Byte offset in the file behind the name. */
    readonly offset: number,
    readonly parts: unknown[] = [],
  ) {}
}

/** What a pickle may reach outside itself. Functions say what is wrong with their arguments by a TypeError. */
export interface PickleHost {
  /** The object a global stands for, or undefined for one that is not known. */
  readonly global: (module: string, name: string) => PickleGlobal | undefined;
  /** Whether a global that is not known becomes a {@link PickleForeign}; it is refused otherwise, and without this. */
  readonly foreign?: (module: string, name: string) => boolean;
  /** Resolves a persistent id; pickles with persistent ids are refused without it. */
  readonly persistent?: (id: unknown) => unknown;
  /** Gives a state to an object that a global made; pickles that do so are refused without it. */
  readonly build?: (object: unknown, state: unknown) => void;
}
