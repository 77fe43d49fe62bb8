import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { withoutData } from '@flow-grpo/test-support';
import { bundleFolder, bundleSources } from '@flow-grpo/test-support/bundle';
import { comparePrograms } from '@flow-grpo/test-support/programs';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Result } from './outputs';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const bundles = bundleFolder(path('..'));
const out = mkdtempSync(join(tmpdir(), 'quickstart-'));
const programs = mkdtempSync(join(tmpdir(), 'quickstart-programs-'));
afterAll(() => {
  for (const folder of [bundles, out, programs]) rmSync(folder, { recursive: true, force: true });
});

const quickstart = join(bundles, 'quickstart.mjs');
const command = join(bundles, 'flow-grpo.mjs');
const run = async (program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
  const options = { env: { ...process.env, ...env }, maxBuffer: 1 << 26 };
  return (await promisify(execFile)(process.execPath, [program, ...args], options)).stdout;
};

beforeAll(async () => {
  await bundleSources(path('./main.ts'), quickstart);
  await bundleSources(path('../../../packages/cli/src/bin.ts'), command);
});

describe('a short run', () => {
  let printed: string;
  beforeAll(async () => {
    const args = ['--images', '256', '--eval-prompts', '24', '--model', path('../assets'), '--out', out];
    printed = await run(quickstart, args, { FLOW_GRPO_XLA_DUMP: programs });
  });
  const result = (): Result => JSON.parse(readFileSync(join(out, 'result.json'), 'utf8'));

  it('says what it does and where its outputs are', () => {
    expect(printed).toMatch(/^Model: .*assets/m);
    expect(printed).toMatch(/^Before: \d+\.\d % of 24 images/m);
    expect(printed).toMatch(/^After: \d+\.\d % of 24 images/m);
    for (const file of ['report.html', 'reward.png', 'before-after.png', 'tuned']) {
      expect(printed).toContain(join(out, file));
    }
  });

  it('writes pictures and a page', async () => {
    for (const file of ['reward.png', 'before-after.png']) {
      const { width, height } = await sharp(join(out, file)).metadata();
      expect(Math.min(width, height)).toBeGreaterThan(200);
    }
    const page = readFileSync(join(out, 'report.html'), 'utf8');
    expect(page).toContain('exactly what was asked for');
    expect(withoutData(page)).not.toMatch(/NaN|undefined/);
  });

  it('counts', () => {
    const { epochs, images, peakMemory, before, after } = result();
    expect([epochs, images]).toEqual([1, 256]);
    expect(peakMemory).toBeGreaterThan(1e8);
    for (const { reward, strict } of [before, after]) {
      expect(reward).toBeGreaterThan(0.1);
      expect(strict.map(({ kind }) => kind)).toHaveLength(7);
    }
    // Two updates from the same noise change pixels, if only by their last digits.
    expect(after.habits.diversity).not.toBe(before.habits.diversity);
  });

  // Those for CPUs: on GPUs weights have another storage type.
  it.runIf(process.env.FLOW_GRPO_XLA_PLATFORM === 'cpu')('gives XLA the programs on record', () => {
    const { found, onRecord } = comparePrograms('quickstart', programs);
    expect(found).toEqual(onRecord);
  });

  it('leaves a model that flow-grpo eval gives the same numbers', async () => {
    const evaluated = JSON.parse(await run(command, ['eval', join(out, 'run.yaml')]));
    const { after } = result();
    expect(evaluated).toMatchObject({ reward: after.reward, images: 24 });
    expect(evaluated.details.strict).toBeCloseTo(after.strict[0]!.strict, 10);
  });
});
