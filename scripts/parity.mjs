/**
 * `npm run parity [-- PACKAGE…]`: the suites that compare with the numbers of upstream's PyTorch code, alone.
 * `FLOW_GRPO_FIXTURES` names another folder of cases.
 */
import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { root, vitest } from './vitest.mjs';

const fixtures = resolve(process.env.FLOW_GRPO_FIXTURES || `${root}fixtures`);
const packages = process.argv.slice(2).map((name) => name.replace('@flow-grpo/', ''));
for (const name of packages) {
  if (!existsSync(`${root}packages/${name}`)) {
    console.error(`There is no package '${name}' in packages/.`);
    process.exit(2);
  }
}
console.log(`Fixtures: ${fixtures}`);
const files = packages.flatMap((name) =>
  readdirSync(`${root}packages/${name}`, { recursive: true })
    .filter((file) => file.endsWith('.parity.test.ts') && !file.startsWith('node_modules'))
    .map((file) => `packages/${name}/${file}`),
);
if (packages.length > 0 && files.length === 0) {
  console.error(`There are no suites of parity in ${packages.join(', ')}.`);
  process.exit(2);
}
const { passed, failed, skipped, failures } = vitest(files.length > 0 ? files : ['.parity.test.ts'], {
  FLOW_GRPO_FIXTURES: fixtures,
  XLA_FLAGS: process.env.XLA_FLAGS || '--xla_cpu_enable_fast_math=false', // XLA's default: compiled as users compile
});
for (const failure of failures) console.log(`Failed: ${failure}`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed || passed === 0 ? 1 : 0;
