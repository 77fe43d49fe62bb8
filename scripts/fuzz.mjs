/**
 * `npm run fuzz -- --minutes 60 [--seed N] [FILTER…]`: the fuzzers (checkpoints, hub and reward responses, reward-server
 * requests, run files), each for its share of the time, two at once. A failure names the number of its input.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, vitest } from './vitest.mjs';

const { values, positionals } = parseArgs({
  options: { minutes: { type: 'string', default: '60' }, seed: { type: 'string' } },
  allowPositionals: true,
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error(`--minutes ${values.minutes}: give a number of minutes`);
  process.exit(2);
}
/** Fuzzers in the longest file: files run beside each other, what is in them one after the other. */
const IN_A_FILE = 2;
const env = {
  FLOW_GRPO_TESTS: 'long',
  FLOW_GRPO_FUZZ_MINUTES: String(minutes / IN_A_FILE),
  ...(values.seed !== undefined && { FLOW_GRPO_FUZZ_SEED: values.seed }),
};
const files = readdirSync(join(root, 'packages'))
  .flatMap((name) => {
    const folder = join('packages', name, 'src');
    return readdirSync(join(root, folder), { recursive: true }).map((file) => join(folder, file));
  })
  .filter((file) => file.endsWith('fuzz.long.test.ts'))
  .filter((file) => positionals.length === 0 || positionals.some((part) => file.includes(part)));
if (files.length === 0) {
  console.error(`no fuzzer in ${positionals.join(' or ')}`);
  process.exit(2);
}
const { passed, failed, failures } = vitest(files, env);
for (const failure of failures) console.log(`Failed: ${failure}`);
console.log(`${passed} fuzzers found nothing, ${failed} failed`);
process.exitCode = failed || passed === 0 ? 1 : 0;
