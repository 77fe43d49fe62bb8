import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GENEVAL_TAGS, parseGenevalMetadata } from '../geneval/metadata';
import { openPrompts } from './open';

const root = process.env.FLOW_GRPO_DATA;

/** Runs on flow_grpo's own `dataset` folder when FLOW_GRPO_DATA names it; the files are not part of this project. */
describe.skipIf(!root)('flow_grpo folders (set FLOW_GRPO_DATA to run)', () => {
  it.each([
    ['pickscore', 'train'],
    ['pickscore', 'test'],
    ['ocr', 'test'],
  ])('%s/%s.txt gives the lines Python reads', async (name, split) => {
    const lines = readFileSync(join(root!, name, `${split}.txt`), 'utf8')
      .replace(/\n$/, '')
      .split('\n');
    const set = await openPrompts(join(root!, name), { split });
    expect(set.length).toBe(lines.length);
    let index = 0;
    for await (const { prompt } of set) expect(prompt).toBe(lines[index++]!.trim());
    expect((await set.get(set.length - 1)).prompt).toBe(lines.at(-1)!.trim());
    await set.close();
  });

  it.each(['geneval', 'geneval_unseen_objects'])('%s is valid GenEval metadata', async (name) => {
    const set = await openPrompts(join(root!, name), { split: 'test' });
    const tags = new Set<string>();
    for await (const { prompt, metadata } of set) {
      const parsed = parseGenevalMetadata(metadata);
      tags.add(parsed.tag);
      expect(parsed.prompt).toBe(prompt);
    }
    expect([...tags].filter((tag) => !(GENEVAL_TAGS as readonly string[]).includes(tag))).toEqual([]);
    await set.close();
  });
});
