/** Rough sizes of what opcodes make, in bytes. */
export const COST = { slot: 16, entry: 48, container: 64, map: 224 } as const;

/** Objects a small file may make before its size counts. */
const FREE_BYTES = 256 * 1024;
const TIMES_FILE = 8;

/**
 * Bounds what a pickle can make the reader allocate. One-byte opcodes make whole containers, so a file of
 * them would otherwise grow a hundredfold in memory.
 */
export class PickleBudget {
  private left: number;

  /** @param fileBytes the size of the whole file: it bounds what a pickle in it may reasonably build */
  constructor(fileBytes: number) {
    this.left = FREE_BYTES + TIMES_FILE * fileBytes;
  }

  /** False when the pickle has built more than a file of its size may. */
  spend(bytes: number): boolean {
    this.left -= bytes;
    return this.left >= 0;
  }
}
