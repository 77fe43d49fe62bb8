/** Test files share a process, and find it as if it had just begun; files that train on XLA, and those that ask, have their own. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify, stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';

const tests = fileURLToPath(new URL('.', import.meta.url));
const bundles = join(tests, '.bundle');
let root: string;
let folder: string;

/** A file that fails where another one left something behind, leaves the same, and writes down its process. */
const file = (name: string, comment = '') => `${comment}
import { writeFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it, vi } from 'vitest';
import { state } from './state';

vi.mock('./mocked', () => ({ mocked: ${JSON.stringify(name)} }));

it('finds nothing of others', async () => {
  expect(process.env).not.toHaveProperty('LEFT_BEHIND');
  expect(process.cwd()).toBe(${JSON.stringify(tests.replace(/\/$/, ''))});
  expect(tf.getBackend()).toBe('cpu');
  expect(tf.findBackendFactory('other')).toBeNull();
  expect(tf.getKernel('LeftBehind', 'cpu')).toBeUndefined();
  expect(tf.memory().numTensors).toBe(0);
  expect(state).toEqual([]);
  expect((await import('./mocked')).mocked).toBe(${JSON.stringify(name)});

  const x = tf.variable(tf.scalar(2), true, 'left-behind');
  expect(tf.grad((x) => tf.square(x))(x).dataSync()[0]).toBe(4);
  state.push(1);
  tf.registerKernel({ kernelName: 'LeftBehind', backendName: 'cpu', kernelFunc: () => [] });
  tf.registerBackend('other', () => tf.backend() as never);
  process.env.LEFT_BEHIND = 'yes';
  writeFileSync(${JSON.stringify(join('FOLDER', `${name}.pid`))}, String(process.pid));
  process.chdir('/');
});
`;

const FILES = {
  'first.check.ts': file('first'),
  'second.check.ts': file('second'),
  'third.check.ts': file('third'),
  'apart.check.ts': file('apart', '// @own-process: it tests that'),
  'some.xla.check.ts': file('some'),
  'state.ts': 'export const state: number[] = [];',
  'mocked.ts': "export const mocked = 'not mocked';",
};

beforeAll(() => {
  mkdirSync(bundles, { recursive: true });
  root = mkdtempSync(join(bundles, 'processes-'));
  // By their path some suites have processes of their own.
  folder = join(root, 'packages/cli');
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(FILES))
    writeFileSync(join(folder, name), text.replaceAll('FOLDER', folder));
  const base = JSON.stringify(join(tests, '../vitest.base.ts'));
  writeFileSync(
    join(folder, 'vitest.config.ts'),
    `import { project } from ${base};
    export default project('processes', [], { include: [${JSON.stringify(`${folder}/*.check.ts`)}], maxWorkers: 2 });`,
  );
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

it('files run in the processes that they should, and none sees what another left', async () => {
  const vitest = join(tests, '../node_modules/vitest/vitest.mjs');
  const { VITEST: _, VITEST_POOL_ID: __, VITEST_WORKER_ID: ___, ...env } = process.env;
  const args = ['run', '--config', join(folder, 'vitest.config.ts'), '--root', tests, '--reporter=dot'];
  const { stdout } = await promisify(execFile)(process.execPath, [vitest, ...args], { cwd: tests, env });
  expect(stripVTControlCharacters(stdout)).toMatch(/Tests +5 passed/);
  const pids = Object.fromEntries(
    readdirSync(folder)
      .filter((name) => name.endsWith('.pid'))
      .map((name) => [name.slice(0, -4), readFileSync(join(folder, name), 'utf8')]),
  );
  const { apart, some, ...others } = pids;
  // Three files in the processes of two workers: one at least follows another.
  const shared = new Set(Object.values(others));
  expect(shared.size).toBeLessThanOrEqual(2);
  expect(shared.size + new Set([apart, some]).size).toBe(new Set(Object.values(pids)).size);
  expect(apart).not.toBe(some);
  expect(Object.keys(pids)).toHaveLength(5);
});
