/**
 * Scenes drawn, prompts read and batches sampled a second, on one core: the median of several runs.
 *
 *     npx nx bench datasets [--json file]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { KRepeatSampler, openPrompts, sceneBatch, shapeScenes } from '@flow-grpo/datasets';

const { values: flags } = parseArgs({ options: { json: { type: 'string' } } });
const RUNS = 5;
const rows = [];

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Times `run`, which does `count` things, after one run that warms up. */
async function measure(name, count, run) {
  await run();
  const times = [];
  for (let i = 0; i < RUNS; i++) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  const ms = median(times);
  rows.push({ name, count, ms, perSecond: (1000 * count) / ms });
}

for (const size of [64, 96, 128]) {
  const scenes = shapeScenes({ size, seed: 1 });
  await measure(`scenes of ${size} pixels`, 500, () => sceneBatch(scenes, 1000, 500));
}

const folder = mkdtempSync(join(tmpdir(), 'bench-'));
const count = 200_000;
const lines = Array.from({ length: count }, (_, i) => `a photo of thing number ${i} on a table`);
writeFileSync(join(folder, 'train.txt'), lines.join('\n'));
await measure('prompts indexed', count, async () => (await openPrompts(folder)).close());
const prompts = await openPrompts(folder);
await measure('prompts read in order', count, async () => {
  for await (const { prompt } of prompts) if (prompt.length === 0) throw new Error('an empty prompt');
});
await measure('prompts read at random', 2000, async () => {
  for (let i = 0; i < 2000; i++) await prompts.get((i * 7919) % prompts.length);
});
await prompts.close();
rmSync(folder, { recursive: true });

const sampler = new KRepeatSampler({ datasetSize: count, batchSize: 32, k: 16, numReplicas: 4 });
await measure('batches of 4 × 32 sampled', 2000, () => {
  for (let i = 0; i < 2000; i++) sampler.next();
});

console.table(rows.map(({ name, perSecond }) => ({ what: name, 'a second': Math.round(perSecond) })));
const report = {
  benchmark: 'datasets',
  machine: `${cpus().length} × ${cpus()[0].model}`,
  node: process.version,
  rows,
};
console.log(JSON.stringify(report));
if (flags.json) writeFileSync(flags.json, `${JSON.stringify(report, null, 2)}\n`);
