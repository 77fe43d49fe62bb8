import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ncclVersion, nvidiaDriver } from './versions';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'versions-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it.each([
  ['NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024', '535.183.01'],
  [
    'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder@U22)',
    '580.95.05',
  ],
])('the driver of %s', (line, version) => {
  const file = join(folder, 'version');
  writeFileSync(file, `${line}\nGCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n`);
  expect(nvidiaDriver(file)).toBe(version);
  expect(nvidiaDriver(join(folder, 'none'))).toBeUndefined();
});

it('NCCL is that of the wheels where the plugin lies', () => {
  const plugin = join(folder, 'site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so');
  expect(ncclVersion(plugin)).toBeUndefined();
  for (const name of ['jax_cuda13_pjrt-0.11.2.dist-info', 'nvidia_nccl_cu13-2.28.9.dist-info', 'nvidia'])
    mkdirSync(join(folder, 'site-packages', name), { recursive: true });
  expect(ncclVersion(plugin)).toBe('2.28.9');
});
