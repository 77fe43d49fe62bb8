import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleProgram } from '@flow-grpo/test-support/bundle';
import { expect, it } from 'vitest';
import { listCheckpoints } from './checkpoint-names';

it('a signal while a program compiles for minutes ends the run, which has nothing to save', async () => {
  const program = await bundleProgram(
    fileURLToPath(new URL('./testing/slow-to-compile.ts', import.meta.url)),
  );
  const folder = await mkdtemp(join(tmpdir(), 'compiling-'));
  try {
    const child = spawn(process.execPath, [program, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, FLOW_GRPO_XLA_CACHE: 'off', FLOW_GRPO_XLA_PLATFORM: 'cpu' },
    });
    const code = new Promise<number | null>((resolve) => child.on('exit', resolve));
    let text = '';
    child.stdout!.on('data', (data) => {
      text += data;
      // All else is compiled.
      if (/compiling decode\n$/.test(text)) child.kill('SIGTERM');
    });
    expect(await code).toBe(0);
    expect(text).toMatch(/compiling decode\ninterrupted\n/);
    expect(await listCheckpoints(folder)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
