import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, expect, it, vi } from 'vitest';
import { startXla } from '../index';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

async function saidWhenRefused(): Promise<string> {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  tf.env().set('IS_TEST', false); // which keeps tfjs quiet
  expect(await tf.setBackend('xla')).toBe(false);
  tf.env().set('IS_TEST', true);
  return warn.mock.calls.flat().join('\n');
}

it('setBackend refuses a platform by environment that there is not', async () => {
  vi.stubEnv('FLOW_GRPO_XLA_PLATFORM', 'tpu');
  expect(await saidWhenRefused()).toContain('FLOW_GRPO_XLA_PLATFORM is tpu; it must be cpu or cuda');
});

it('setBackend without a plugin says which command installs one, and works after it was run', async () => {
  for (const name of ['PATH', 'VIRTUAL_ENV', 'CONDA_PREFIX', 'PJRT_PLUGIN_LIBRARY_PATH'])
    vi.stubEnv(name, '');
  vi.stubEnv('XDG_CACHE_HOME', mkdtempSync(join(tmpdir(), 'no-plugin-')));
  const said = await saidWhenRefused();
  expect(said).toContain('No PJRT plugin found. Run: npx pjrt install cpu');
  expect(said.match(/npx pjrt install/g)).toHaveLength(1);
  await expect(startXla()).rejects.toThrow(/^No PJRT plugin found\. Run: npx pjrt install cpu$/);
  vi.unstubAllEnvs();
  expect(await tf.setBackend('xla')).toBe(true);
  expect(tf.add(1, 2).dataSync()[0]).toBe(3);
  await startXla(); // as often as one likes
  expect(tf.getBackend()).toBe('xla');
  await expect(startXla({ devices: 2 })).rejects.toThrow(/XLA is already running/);
});
