import type { PromptExample } from '../examples';

/** Prompts by index, read from their source when asked for. */
export interface PromptSet extends AsyncIterable<PromptExample> {
  readonly length: number;
  /** @throws RangeError when the index is not a whole number in [0, length) */
  get(index: number): Promise<PromptExample>;
  /** Several at once, in the order of the indices; an index may occur more than once. */
  read(indices: readonly number[]): Promise<PromptExample[]>;
  /** Releases the file; the set is not to be read afterwards. */
  close(): Promise<void>;
}

/** A prompt set over a function that reads runs of neighbours. */
export function promptSet(
  name: string,
  length: number,
  readRange: (start: number, end: number) => Promise<PromptExample[]>,
  close: () => Promise<void> = async () => {},
): PromptSet {
  const stretch = 256; // examples held at once while iterating
  const get = async (index: number) => {
    checkIndex(name, index, length);
    return (await readRange(index, index + 1))[0]!;
  };
  return {
    length,
    get,
    async read(indices) {
      for (const index of indices) checkIndex(name, index, length);
      const wanted = new Map<number, PromptExample>();
      for (const index of [...new Set(indices)].sort((a, b) => a - b)) wanted.set(index, await get(index));
      return indices.map((index) => wanted.get(index)!);
    },
    close,
    async *[Symbol.asyncIterator]() {
      for (let start = 0; start < length; start += stretch) {
        yield* await readRange(start, Math.min(start + stretch, length));
      }
    },
  };
}

function checkIndex(name: string, index: number, length: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= length) {
    throw new RangeError(`${name}: there is no prompt ${index}; indices run from 0 to ${length - 1}`);
  }
}

/** A prompt set of examples already in memory. */
export function promptList(examples: readonly PromptExample[]): PromptSet {
  return promptSet('promptList', examples.length, async (start, end) => examples.slice(start, end));
}
