import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SETUPS, type SetupKind } from '@flow-grpo/create';
import type { EpochMetrics } from '@flow-grpo/grpo-trainer';
import { bundleFolder } from '@flow-grpo/test-support/bundle';
import { transformSync } from 'esbuild';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readJsonLines } from '../logging/json-lines';
import { readRunFile } from '../run-file/read';
import { main } from './main';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'init-'));
  for (const method of ['log', 'error'] as const) vi.spyOn(console, method).mockImplementation(() => {});
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
});
afterEach(async () => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
  await rm(folder, { recursive: true });
});

const run = (...args: string[]) => main(['node', 'flow-grpo', ...args]);

describe('flow-grpo init', () => {
  it.each(Object.keys(SETUPS) as SetupKind[])(
    'writes a run file of %s that is accepted, and its schema',
    async (setup) => {
      await run('init', folder, '--setup', setup);
      const file = join(folder, 'run.yaml');
      const { setup: chosen, config } = await readRunFile(file, []);
      expect(chosen.kind).toBe(setup);
      expect(config.sampling.promptsPerEpoch).toBe(8);
      const [line] = (await readFile(file, 'utf8')).split('\n');
      expect(line).toBe('# yaml-language-server: $schema=./run.schema.json');
      const schema = JSON.parse(await readFile(join(folder, 'run.schema.json'), 'utf8'));
      expect(schema.properties.sampling.properties.noiseLevel.description).toContain('sample.noise_level');
    },
  );

  it.each([
    'it\'s "mine".txt',
    'a: b #1.txt',
    'ünï 火.txt',
    '-p.txt',
    "'.txt",
    '@p.txt',
    'C:\\p.txt',
    '123',
    'no',
  ])('writes the name of a file such that it is read back: %s', async (name) => {
    const module = `${name}.ts`;
    await run('init', folder, '--setup', 'showo2', `--prompts=${name}`, '--reward', `./${module}`);
    expect(process.exitCode).toBeUndefined();
    const { setup } = await readRunFile(join(folder, 'run.yaml'), []);
    const reward = { [join(folder, module)]: 1 };
    expect(setup).toMatchObject({ dataset: name, evalDataset: name, reward });
  });

  it('writes a model of its own that learns', async () => {
    await run('init', folder, '--setup', 'module');
    const output = join(folder, 'run');
    // Beside this package, where tfjs-core is found; the first-hour script runs the TypeScript itself.
    const beside = bundleFolder(fileURLToPath(new URL('../..', import.meta.url)));
    const policy = await readFile(join(folder, 'policy.ts'), 'utf8');
    const own = policy.replace(/import .* from 'flow-grpo';/, 'const defineSetup = (setup) => setup;');
    await writeFile(join(beside, 'policy.mjs'), transformSync(own, { loader: 'ts' }).code);
    const args = [
      '--setup',
      join(beside, 'policy.mjs'),
      '-o',
      output,
      '--backend',
      'xla',
      '--epochs',
      '8',
      '--sampling.numSteps',
      '5',
      '--sampling.samplesPerPrompt',
      '8',
    ];
    await run('train', join(folder, 'run.yaml'), ...args);
    await rm(beside, { recursive: true });
    expect(process.exitCode).toBeUndefined();
    const rewards = (await readJsonLines<EpochMetrics>(join(output, 'metrics.jsonl'))).map(
      ({ reward }) => reward,
    );
    expect(rewards).toHaveLength(8);
    expect(rewards.at(-1)!).toBeGreaterThan(rewards[0]! + 0.04);
    expect(await readFile(join(output, 'report/run-0.js'), 'utf8')).toContain('magenta');
  });

  it('writes a reward module and prompts for Show-o2, and plans with them', async () => {
    await run('init', folder, '--setup', 'showo2', '--reward', './warm.ts', '--prompts', 'mine.txt');
    const { setup } = await readRunFile(join(folder, 'run.yaml'), []);
    expect(setup).toMatchObject({
      dataset: 'mine.txt',
      reward: { [join(folder, 'warm.ts')]: 1 },
    });
    const { default: warmth } = (await import(join(folder, 'warm.ts'))) as {
      default: (...args: unknown[]) => Promise<number[]>;
    };
    const tf = await import('@tensorflow/tfjs-core');
    await import('@tensorflow/tfjs-backend-cpu');
    await tf.setBackend('cpu');
    const images = tf.tensor4d([1, 0, 0, 0, 0, 1], [2, 1, 1, 3]);
    expect(await warmth(images, ['a', 'b'])).toEqual([1, -1]);
    images.dispose();
  });
});
