import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runDoctor } from './doctor';
import type { FindPluginOptions } from './plugins/find';

async function doctor(options: FindPluginOptions): Promise<{ healthy: boolean; text: string }> {
  const lines: string[] = [];
  const healthy = await runDoctor(options, (line) => lines.push(line));
  return { healthy, text: lines.join('\n') };
}

const emptyFolder = () => mkdtempSync(join(tmpdir(), 'pjrt-doctor-'));

it('prints what it found, the version, the devices and their memory, and a test that ran', async () => {
  const { healthy, text } = await doctor({ platform: 'cpu' });
  expect(healthy).toBe(true);
  expect(text).toMatch(/^Machine {3}\w+ \w+, \d+ CPUs, .* free, Node \d+/m);
  expect(text).toMatch(/^GPU/m);
  expect(text).toMatch(/^Found {5}cpu \(.*\) \/.*/m);
  expect(text).toMatch(/^Using {5}\//m);
  expect(text).toMatch(/^Client {4}cpu, C API 0\.\d+, started in \d+ ms$/m);
  expect(text).toMatch(/^Device 0 {2}cpu, .*memory/m);
  expect(text).toMatch(/^Test {6}f32 1024×1024 matmul: correct, \d+ GFLOP\/s$/m);
});

it('names the command that installs what is missing', async () => {
  const environment = { XDG_CACHE_HOME: emptyFolder(), PATH: '' };
  const { healthy, text } = await doctor({ environment });
  expect(healthy).toBe(false);
  expect(text).toContain('Found     no plugin');
  expect(text).toMatch(/^Problem {3}No PJRT plugin found\. Run: npx pjrt install cpu$/m);
  expect((await doctor({ environment, platform: 'cuda' })).text).toMatch(/npx pjrt install cuda13/);
});

it('says what is wrong with a library that is no plugin, and what to do', async () => {
  const plugin = join(emptyFolder(), 'libnothing.so');
  writeFileSync(plugin, 'nothing');
  const { healthy, text } = await doctor({ plugin });
  expect(healthy).toBe(false);
  expect(text).toMatch(/^Problem {3}.*libnothing\.so/m);
  expect(text).toContain('npx pjrt install cpu');
});
