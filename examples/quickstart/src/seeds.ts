/**
 * The quickstart with several seeds, one run after the other, and a table of what they reached.
 *
 *     npm run seeds -w examples/quickstart -- --seeds 0,1,2 --out runs/seeds [options of the quickstart]
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import type { Result } from './outputs';
import { resultsTable } from './table';

const program = new Command('seeds')
  .description(
    'Runs the quickstart once for every seed and prints a table; other options go to the quickstart',
  )
  .option('--seeds <list>', 'seeds, with commas between', '0,1,2')
  .option('--out <folder>', 'a folder for each seed is made in it', 'runs/seeds')
  .allowUnknownOption()
  .allowExcessArguments()
  .parse();
const { seeds, out } = program.opts<{ seeds: string; out: string }>();
const main = fileURLToPath(new URL('./main.js', import.meta.url));

const results = seeds.split(',').map((seed) => {
  const folder = join(out, `seed-${seed}`);
  const args = [main, ...program.args, '--seed', seed, '--out', folder];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`the run with seed ${seed} ended with status ${status}`);
  return JSON.parse(readFileSync(join(folder, 'result.json'), 'utf8')) as Result;
});
const table = resultsTable(results);
writeFileSync(join(out, 'table.md'), `${table}\n`);
console.log(`\n${table}\n\n${join(out, 'table.md')}`);
