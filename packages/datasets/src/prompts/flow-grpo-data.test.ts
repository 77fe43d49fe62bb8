import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { GENEVAL_TAGS, parseGenevalMetadata } from '../geneval/metadata';
import { KRepeatSampler } from '../sampling/k-repeat-sampler';
import { openPrompts } from './open';

/** flow_grpo's whole `dataset` folder where FLOW_GRPO_DATA names it, else excerpts of it. */
const root =
  process.env.FLOW_GRPO_DATA || fileURLToPath(new URL('../../test/data/flow_grpo', import.meta.url));

/** The files of its folders that hold a split, by the names flow_grpo opens. */
const files = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name: folder }) =>
    readdirSync(join(root, folder)).flatMap((file) => {
      const [, split, ending] = /^(train|test)(\.txt|_metadata\.jsonl)$/.exec(file) ?? [];
      return split ? [{ folder, split, ending: ending!, path: join(root, folder, file) }] : [];
    }),
  );

/** The lines as Python's `readlines` gives them. */
const linesOf = (path: string) => readFileSync(path, 'utf8').replace(/\n$/, '').split('\n');

describe(`flow_grpo's data sets in ${root}`, () => {
  it('are all there', () => {
    const folders = new Set(files.map(({ folder }) => folder));
    for (const folder of ['pickscore', 'geneval', 'ocr']) expect(folders).toContain(folder);
  });

  it.each(files)('$folder, $split opens by its folder and gives every line', async ({ path, ...file }) => {
    const lines = linesOf(path);
    const set = await openPrompts(join(root, file.folder), { split: file.split });
    expect(set.length).toBe(lines.length);
    let index = 0;
    for await (const { prompt, metadata } of set) {
      const line = lines[index++]!;
      if (file.ending === '.txt') expect([prompt, metadata]).toEqual([line.trim(), {}]);
      else {
        const row = JSON.parse(line) as { prompt: string };
        expect([prompt, metadata]).toEqual([row.prompt, row]);
      }
    }
    expect(index).toBe(lines.length);
    const sampler = new KRepeatSampler({ datasetSize: set.length, batchSize: 4, k: 2, seed: 1 });
    const chosen = sampler.next();
    const prompts = (await set.read(chosen)).map(({ prompt }) => prompt);
    for (const [i, at] of chosen.entries()) expect(lines[at]).toContain(prompts[i]);
    await set.close();
  });

  it.each(files.filter(({ ending }) => ending !== '.txt'))(
    "$folder, $split has GenEval's schema and task kinds",
    async ({ folder, split }) => {
      const set = await openPrompts(join(root, folder), { split });
      for await (const { prompt, metadata } of set) {
        const parsed = parseGenevalMetadata(metadata);
        expect(GENEVAL_TAGS).toContain(parsed.tag);
        expect(parsed.prompt).toBe(prompt);
      }
      await set.close();
    },
  );
});
