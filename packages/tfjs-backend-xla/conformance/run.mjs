/**
 * tfjs-core's own jasmine suite against this backend, split over processes.
 *
 *     node conformance/run.mjs [--platform cpu|cuda] [--workers N] [--filter regexp] [--verbose]
 */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundle } from './bundle.mjs';

const { values } = parseArgs({
  options: {
    platform: { type: 'string', default: 'cpu' },
    workers: { type: 'string', default: `${Math.min(4, availableParallelism())}` },
    filter: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});
if (!['cpu', 'cuda'].includes(values.platform))
  throw new Error(`--platform must be cpu or cuda, not ${values.platform}`);
const shards = Number(values.workers);
if (!Number.isInteger(shards) || shards < 1)
  throw new Error(`--workers must be a positive integer, not ${values.workers}`);

const start = performance.now();
const paths = await bundle(fileURLToPath(new URL('../node_modules/.cache/conformance', import.meta.url)));

/** One shard; a process that dies is a failure of its own. */
const run = (shard) =>
  new Promise((resolve) => {
    const child = fork(
      fileURLToPath(new URL('./worker.mjs', import.meta.url)),
      [JSON.stringify({ ...paths, shard, shards, filter: values.filter, platform: values.platform })],
      { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
    );
    let result;
    child.on('message', (message) => {
      result = message;
    });
    child.on('exit', (code, signal) => {
      const died = [[`worker ${shard}`, [`ended with ${signal ?? code} before its report`]]];
      resolve(result ?? { counts: { passed: 0, failed: 1, pending: 0 }, failed: died, skipped: [] });
    });
  });

const results = await Promise.all(Array.from({ length: shards }, (_, shard) => run(shard)));
const total = (key) => results.reduce((sum, { counts }) => sum + counts[key], 0);
const [passed, failed, pending] = [total('passed'), total('failed'), total('pending')];
const skipped = results.flatMap((r) => r.skipped);

for (const [name, messages] of results.flatMap((r) => r.failed)) {
  console.log(`FAILED ${name}`);
  for (const message of values.verbose ? messages : messages.slice(0, 1))
    console.log(`    ${message.slice(0, 400)}`);
}
const reasons = new Map();
for (const [, reason] of skipped) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
for (const [reason, count] of reasons) console.log(`skipped ${count}: ${reason}`);
const seconds = ((performance.now() - start) / 1000).toFixed(0);
console.log(
  `${passed} of ${passed + failed} passed (${((100 * passed) / (passed + failed)).toFixed(2)} %), ${skipped.length} skipped, ${pending} pending, ${seconds} s`,
);
console.log(`${passed + failed + pending} specs, ${failed} failures`);
process.exit(failed === 0 ? 0 : 1);
