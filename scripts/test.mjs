/**
 * `npm test [-- FILTER…]`: every test of the repository but the long ones, which are `npm run test:long`; then the files
 * that took longest, the tests that failed, and a last line that counts.
 */
import { vitest } from './vitest.mjs';

const args = process.argv.slice(2);
const filters = args.filter((arg) => arg !== '--long');
const env = args.includes('--long') ? { FLOW_GRPO_TESTS: 'long' } : {};
const { passed, failed, skipped, failures, slowest } = vitest(filters, env);
if (slowest.length > 1) {
  console.log(`\nThe slowest ${slowest.length} files, in seconds:`);
  for (const { file, seconds } of slowest) console.log(`${seconds.toFixed(1).padStart(7)}  ${file}`);
  console.log();
}
for (const failure of failures) console.log(`Failed: ${failure}`);
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed || passed === 0 ? 1 : 0;
