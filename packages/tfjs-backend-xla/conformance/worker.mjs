/** Runs one shard of the specs in this process and sends what came of each to the parent. */
import { pathToFileURL } from 'node:url';
import Jasmine from 'jasmine';
import { skip } from './skip.mjs';

const { specs, backend, shard, shards, filter, platform } = JSON.parse(process.argv[2]);

const { configure } = await import(pathToFileURL(backend).href);
// Thousands of one-op programs run once each: compiling fast is worth more than running fast.
configure({
  platform,
  clientOptions: platform === 'cuda' ? { preallocate: false } : {}, // the workers share the GPU
  compilationCache: false,
  debugOptions: { xla_backend_optimization_level: 0 },
});

const runner = new Jasmine({ projectBaseDir: process.cwd() });
runner.exitOnCompletion = false;
runner.loadConfig({ spec_dir: '', spec_files: [specs], random: false });
// The limit is there for a spec that hangs, none is about time. Some set one of their own, for machines that are not busy.
const unlimit = () => {
  jasmine.DEFAULT_TIMEOUT_INTERVAL = 600_000;
};
unlimit();
const { beforeEach } = globalThis;
globalThis.beforeEach = (prepare, ...rest) =>
  beforeEach(
    prepare.length > 0
      ? prepare
      : function prepareAndUnlimit() {
          const result = prepare.call(this);
          unlimit();
          return result;
        },
    ...rest,
  );

// Without quiet warnings the suite's own tests of deprecations fill the screen.
console.warn = () => {};

const wanted = new RegExp(filter ?? '');
/** Specs of one suite stay together: they need the same programs. */
const shardOf = (name) => {
  const suite = name.split(' xla ')[0];
  return [...suite].reduce((hash, c) => (Math.imul(hash, 31) + c.charCodeAt(0)) >>> 0, 7) % shards;
};
const skipped = [];
runner.env.configure({
  specFilter: (spec) => {
    const name = spec.getFullName();
    if (!wanted.test(name)) return false;
    if (shardOf(name) !== shard) return false;
    const found = skip.find(([text, , on = platform]) => on === platform && name.includes(text));
    if (found) skipped.push([name, found[1]]);
    return !found;
  },
});

const failed = [];
const counts = { passed: 0, failed: 0, pending: 0 };
runner.clearReporters();
runner.addReporter({
  specDone: ({ fullName, status, failedExpectations }) => {
    if (status in counts) counts[status]++;
    if (status === 'failed') failed.push([fullName, failedExpectations.map((f) => f.message)]);
  },
  suiteDone: ({ fullName, failedExpectations }) => {
    if (failedExpectations.length > 0) {
      counts.failed++;
      failed.push([`${fullName} (around its specs)`, failedExpectations.map((f) => f.message)]);
    }
  },
});
await runner.execute();
process.send({ counts, failed, skipped }, () => process.exit(0));
