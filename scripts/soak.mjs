/**
 * `npm run soak -- --epochs 1260 [--kill-epochs 20]`: so many epochs of the toy and the tiny recipe, and as many with a reward
 * server that fails 5 % of calls, a kill every so many epochs on average, and a disk that fills once. Both must end with the
 * same bits, and memory must be flat. `--hours 6 [--kill-seconds 180]`: as many epochs as that time takes undisturbed, killed by
 * time. `--recipe toy` or `--recipe tiny` runs one of them.
 */
import { parseArgs } from 'node:util';
import { vitest } from './vitest.mjs';

const { values } = parseArgs({
  options: {
    epochs: { type: 'string' },
    'kill-epochs': { type: 'string', default: '20' },
    hours: { type: 'string' },
    'kill-seconds': { type: 'string', default: '180' },
    recipe: { type: 'string' },
  },
});
const { recipe, ...numbers } = values;
const refuse = (message) => {
  console.error(message);
  process.exit(2);
};
for (const [name, value] of Object.entries(numbers)) {
  if (!(Number(value) > 0)) refuse(`--${name} ${value}: give a number above 0`);
}
if (recipe !== undefined && !['toy', 'tiny'].includes(recipe)) refuse(`--recipe ${recipe}: toy or tiny`);
const { epochs, hours } = numbers;
if ((epochs === undefined) === (hours === undefined)) refuse('give --epochs or --hours: how long it lasts');
if (Number(numbers['kill-epochs']) < 6) {
  refuse('--kill-epochs: at least 6; checkpoints are three epochs apart');
}
const { passed, failed } = vitest(['packages/cli/src/soak/soak.long.test.ts'], {
  FLOW_GRPO_TESTS: 'long',
  ...(epochs === undefined
    ? { FLOW_GRPO_SOAK_HOURS: hours, FLOW_GRPO_SOAK_KILL: numbers['kill-seconds'] }
    : { FLOW_GRPO_SOAK_EPOCHS: epochs, FLOW_GRPO_SOAK_KILL: numbers['kill-epochs'] }),
  ...(recipe && { FLOW_GRPO_SOAK_RECIPES: recipe }),
});
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed || passed === 0 ? 1 : 0;
