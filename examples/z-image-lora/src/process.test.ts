import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadLora } from '@flow-grpo/checkpoint-io';
import { bundleSources } from '@flow-grpo/test-support/bundle';
import { readRunFile } from 'flow-grpo';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
/** As deep as dist/main.js, from where the script finds its files. */
const script = path('../.bundle/main.mjs');
let folder: string;
beforeAll(async () => {
  await bundleSources(path('./main.ts'), script);
  folder = await mkdtemp(join(tmpdir(), 'z-image-lora-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs the script in the test's folder, without the hub: what is not on this disk is missing. */
async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    HF_HUB_OFFLINE: '1',
    HF_HUB_CACHE: join(folder, 'hub'),
    FLOW_GRPO_XLA_PLATFORM: 'cpu',
  };
  return promisify(execFile)(process.execPath, [script, ...args], {
    cwd: folder,
    env,
    maxBuffer: 1 << 26,
  }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
}

const epochs = async (at: string) =>
  (await readFile(join(folder, at, 'metrics.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { epoch: number; reward: number; gradNorm: number });

describe('--dry-run', () => {
  it('says what is missing, and where to get it', async () => {
    const { code, stdout, stderr } = await run('--dry-run');
    expect(code).toBe(2);
    expect(stdout).toMatch(/images/);
    expect(stderr).toMatch(/setup\.model: .*Tongyi-MAI\/Z-Image-Turbo/);
    expect(stderr).toMatch(/setup\.dataset: /);
  });

  it('counts what the stand-ins would run', async () => {
    const { code, stdout } = await run('--dry-run', '--tiny', '--output', 'planned');
    expect(code).toBe(0);
    expect(stdout).toMatch(/model .*stand-ins\/z-image \(folder/);
  });
});

describe('--tiny', () => {
  it.each(['nft', 'grpo'])(
    'trains adapters with %s, saves them for diffusers, and resumes',
    async (algorithm) => {
      const args = ['--tiny', '--output', algorithm, '-s', `algorithm=${algorithm}`];
      const first = await run(...args);
      expect(first.code, first.stderr).toBe(0);
      const one = await epochs(algorithm);
      expect(one).toHaveLength(2);
      for (const { reward, gradNorm } of one) {
        expect(Number.isFinite(reward)).toBe(true);
        expect(gradNorm).toBeGreaterThan(0);
      }
      const { adapters, rank, alpha } = await loadLora(
        join(folder, algorithm, 'adapter/pytorch_lora_weights.safetensors'),
      );
      expect([rank, alpha]).toEqual([32, 64]);
      expect(Object.keys(adapters)).toContain('layers.1.attention.to_out.0.lora_B.weight');
      expect(Object.keys(adapters)).toHaveLength(2 * 4 * 4);
      const again = await run(...args, '-s', 'epochs=3');
      expect(again.code, again.stderr).toBe(0);
      expect(await epochs(algorithm)).toHaveLength(3);
    },
  );

  it('stands in for Z-Image alone', async () => {
    const { code, stderr } = await run('--tiny', '-s', 'setup=toy');
    expect(code).toBe(2);
    expect(stderr).toMatch(/stands in for Z-Image, not for a toy/);
  });
});

it('says in its README what each line of the run file is', async () => {
  const readme = await readFile(path('../README.md'), 'utf8');
  const yaml = await readFile(path('../z-image-lora.yaml'), 'utf8');
  const names = [...yaml.matchAll(/^( *)(\w+):/gm)].map(([, , name]) => name!);
  expect(names.length).toBeGreaterThan(25);
  for (const name of names) expect(readme, name).toMatch(new RegExp(`\\b${name}\\b`));
  const { setup } = await readRunFile(path('../z-image-lora.yaml'), []);
  expect(setup).toMatchObject({ kind: 'z-image', model: 'Tongyi-MAI/Z-Image-Turbo', guidanceScale: 0 });
});
