import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const bundle = at('../../node_modules/.cache/second-start.mjs');

/** A training step over two devices, single kernels, and what came of the programs. */
const program = `
  import * as tf from '@tensorflow/tfjs-core';
  import { jit, mesh, shard } from '@flow-grpo/tfjs-jit';
  import { compilationStats, configure } from './index';
  configure({ devices: 2, platform: 'cpu', compilationCache: process.argv[2] });
  await tf.setBackend('xla');
  const m = mesh({ data: 2 });
  const x = shard(tf.reshape(tf.range(0, 8), [4, 2]), m, ['data']);
  const step = jit((w, x) => tf.sub(w, tf.mul(tf.grad((v) => tf.mean(tf.square(tf.matMul(x, v))))(w), 0.1)));
  const w = step(tf.ones([2, 1]), x);
  const values = [...w.dataSync(), ...tf.relu(tf.add(w, 1)).dataSync()];
  process.stdout.write(JSON.stringify({ values, ...compilationStats() }));
`;

beforeAll(() =>
  build({
    stdin: { contents: program, resolveDir: at('..'), loader: 'ts' },
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    conditions: ['@flow-grpo/source'],
    external: ['koffi', '@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu'],
    alias: { '@tensorflow/tfjs-core/dist/register_all_gradients': gradients() },
  }),
);
afterAll(() => rmSync(bundle, { force: true }));

/** The gradients as the tests' set-up bundles them. */
function gradients(): string {
  const folder = at('../../../../node_modules/.cache/flow-grpo/');
  return join(folder, readdirSync(folder).find((name) => name.startsWith('gradients-'))!);
}

it('the second start of a program compiles nothing', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xla-second-start-'));
  const start = () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, [bundle, folder], { encoding: 'utf8' });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    return JSON.parse(stdout) as {
      values: number[];
      compiled: number;
      loadedFromDisk: number;
      written: number;
    };
  };
  const first = start();
  const second = start();
  expect(first.compiled).toBeGreaterThan(2);
  expect(first).toMatchObject({ written: first.compiled, loadedFromDisk: 0 });
  expect(second).toEqual({ ...first, compiled: 0, written: 0, loadedFromDisk: first.compiled });
});
