/** Scenes, prompts and sampled batches a second, on one core. Run after `npm run build`. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KRepeatSampler, openPrompts, sceneBatch, shapeScenes } from '../dist/index.js';

const report = (name, count, start) => {
  const seconds = (performance.now() - start) / 1000;
  console.log(`${name.padEnd(34)} ${Math.round(count / seconds).toLocaleString('en')} /s`);
};

for (const size of [64, 96, 128]) {
  const scenes = shapeScenes({ size, seed: 1 });
  sceneBatch(scenes, 0, 300);
  const start = performance.now();
  sceneBatch(scenes, 1000, 2000);
  report(`scenes of ${size} pixels`, 2000, start);
}

const folder = mkdtempSync(join(tmpdir(), 'bench-'));
const lines = Array.from({ length: 500_000 }, (_, i) => `a photo of thing number ${i} on a table`);
writeFileSync(join(folder, 'train.txt'), lines.join('\n'));
let start = performance.now();
const prompts = await openPrompts(folder);
report('prompts indexed', prompts.length, start);
start = performance.now();
let read = 0;
for await (const { prompt } of prompts) read += prompt.length > 0 ? 1 : 0;
report('prompts read in order', read, start);
start = performance.now();
for (let i = 0; i < 5000; i++) await prompts.get((i * 7919) % prompts.length);
report('prompts read at random', 5000, start);
await prompts.close();
rmSync(folder, { recursive: true });

const sampler = new KRepeatSampler({ datasetSize: lines.length, batchSize: 32, k: 16, numReplicas: 4 });
start = performance.now();
for (let i = 0; i < 5000; i++) sampler.next();
report('batches of 4 × 32 sampled', 5000, start);
