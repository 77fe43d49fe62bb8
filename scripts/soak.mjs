/**
 * `npm run soak -- --hours 6 [--kill-every 180]`: as many epochs of the toy recipe as that time takes undisturbed, then as
 * many with a reward server that fails 5 % of calls, a kill every so many seconds, and a disk that fills once.
 */
import { parseArgs } from 'node:util';
import { vitest } from './vitest.mjs';

const { values } = parseArgs({
  options: { hours: { type: 'string', default: '6' }, 'kill-every': { type: 'string', default: '180' } },
});
for (const [name, value] of Object.entries(values)) {
  if (Number(value) > 0) continue;
  console.error(`--${name} ${value}: give a number above 0`);
  process.exit(2);
}
const { passed, failed } = vitest(['packages/cli/src/soak/soak.long.test.ts'], {
  FLOW_GRPO_TESTS: 'long',
  FLOW_GRPO_SOAK_HOURS: values.hours,
  FLOW_GRPO_SOAK_KILL_SECONDS: values['kill-every'],
});
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed || passed === 0 ? 1 : 0;
