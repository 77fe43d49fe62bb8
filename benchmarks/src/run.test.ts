/** The whole way at tiny sizes: bundle, one process a section, files. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Results } from './report/results';
import type { Measurement } from './reporting';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'flow-grpo-bench-test-'));
const bundle = join(root, 'benchmarks/.bundle/bench.mjs');
const bench = (...args: string[]) =>
  run(process.execPath, [bundle, '--tiny', '--engines', 'ours', '--out', folder, ...args], { cwd: root });

beforeAll(() => run(process.execPath, ['benchmarks/bundle.mjs'], { cwd: root }));
afterAll(() => rmSync(folder, { recursive: true }));

it('measures every section it is asked for, and writes results', async () => {
  const { stdout } = await bench('--sections', 'matmul,attention,decode,update');
  expect(stdout).toMatch(/ratios to PyTorch: \{\}/);
  const files = readdirSync(folder).filter((name) => name.endsWith('-tiny.json'));
  const results = JSON.parse(readFileSync(join(folder, files[0]!), 'utf8')) as Results;
  const times = Object.fromEntries(results.measurements.map(({ case: name, ms }) => [name, ms]));
  expect(Object.keys(times)).toEqual([
    'matmul.square',
    'attention.forward',
    'attention.forwardBackward',
    'decode.images',
    'update.step',
    'update.stepOnePrompt',
    'update.optimizer',
  ]);
  for (const ms of Object.values(times)) expect(ms).toBeGreaterThan(0);
  expect(results.measurements.find(({ case: name }) => name === 'update.step')).toMatchObject({
    finite: true,
  });
  expect(results).toMatchObject({ workload: 'tiny', failures: [], ratios: {} });
  expect(readFileSync(join(folder, files[0]!.replace('.json', '.svg')), 'utf8')).toMatch(/^<svg /);
});

it('keeps what worked when a section fails, and says so', async () => {
  const broken = { PJRT_PLUGIN_LIBRARY_PATH: join(folder, 'no-plugin.so') };
  const args = [
    bundle,
    '--tiny',
    '--engines',
    'ours',
    '--sections',
    'matmul',
    '--out',
    join(folder, 'broken'),
  ];
  const failing = run(process.execPath, args, { cwd: root, env: { ...process.env, ...broken } });
  await expect(failing).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/ours: matmul failed: /),
  });
  expect(readdirSync(join(folder, 'broken'))).toHaveLength(2);
});

it('puts results together without measuring', async () => {
  const slow: Measurement = { engine: 'torch', case: 'decode.images', ms: 1e6 };
  const file = join(folder, 'torch.jsonl');
  writeFileSync(file, `${JSON.stringify(slow)}\n`);
  const ours = join(folder, readdirSync(folder).find((name) => name.endsWith('-tiny.json'))!);
  const { stdout } = await run(process.execPath, [
    bundle,
    ...['--engines', '', '--merge', ours, '--merge', file, '--out', join(folder, 'merged')],
  ]);
  expect(stdout).toMatch(/ratios to PyTorch: \{"decode":\d/);
});

it('names what there is when asked for something else', async () => {
  await expect(bench('--sections', 'nothing')).rejects.toMatchObject({
    stderr: expect.stringMatching(/There is no section 'nothing'; there are matmul, /),
  });
});
