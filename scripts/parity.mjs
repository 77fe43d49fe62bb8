/**
 * `npm run parity [-- PACKAGE…]`: the suites that compare with the numbers of upstream's PyTorch code, alone.
 * `FLOW_GRPO_FIXTURES` names another folder of cases.
 */
import { existsSync } from 'node:fs';
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
const projects = packages.flatMap((name) => ['--project', name]);
const { passed, failed, skipped, failures } = vitest(['.parity.test.ts', ...projects], {
  FLOW_GRPO_FIXTURES: fixtures,
  XLA_FLAGS: process.env.XLA_FLAGS || '--xla_cpu_enable_fast_math=false', // XLA's default: compiled as users compile
});
for (const failure of failures) console.log(`Failed: ${failure}`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed || passed === 0 ? 1 : 0;
