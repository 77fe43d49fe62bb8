import { hashString } from '../random';
import { type PromptSet, promptSet } from './prompt-set';

/**
 * Divides a set without a test file: a prompt goes to `test` when its hash falls below `testFraction`, so
 * that equal prompts stay together and a prompt keeps its side when the file grows. Reads the set once and
 * keeps four bytes per prompt; both parts read from it, and closing it closes both.
 */
export async function splitPrompts(
  set: PromptSet,
  testFraction = 0.1,
): Promise<{ train: PromptSet; test: PromptSet }> {
  if (!(testFraction > 0 && testFraction < 1)) {
    throw new RangeError(`splitPrompts: testFraction must lie between 0 and 1, not ${testFraction}`);
  }
  const sides: { train: number[]; test: number[] } = { train: [], test: [] };
  let index = 0;
  for await (const { prompt } of set) {
    sides[hashString(prompt) / 2 ** 32 < testFraction ? 'test' : 'train'].push(index++);
  }
  const part = (name: 'train' | 'test') => {
    const indices = Uint32Array.from(sides[name]);
    if (indices.length === 0) {
      throw new Error(`splitPrompts: no prompt of ${set.length} falls to ${name}; change testFraction`);
    }
    return promptSet(name, indices.length, (start, end) =>
      set.read(Array.from(indices.subarray(start, end))),
    );
  };
  return { train: part('train'), test: part('test') };
}
