import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../create-client';
import { findPlugin, listPlugins, NoPluginError } from './find';

const LAMMPS = 'lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so';
const OLD_CPU = 'xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so';
const CUDA = 'jax_plugins/xla_cuda13/xla_cuda_plugin.so';

let root: string;
let environment: Record<string, string>;

const file = (...parts: string[]): string => {
  const path = join(root, ...parts);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  return path;
};

/** A `python3` that answers any query with this folder. */
function fakePython(folder: string): void {
  const path = file('bin', 'python3');
  writeFileSync(path, `#!/bin/sh\necho ${join(root, folder)}\n`);
  chmodSync(path, 0o755);
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'pjrt-find-'));
  environment = { PATH: join(root, 'bin'), XDG_CACHE_HOME: join(root, 'cache') };
});
afterEach(() => rmSync(root, { recursive: true }));

describe('findPlugin', () => {
  const find = (more: Parameters<typeof findPlugin>[0] = {}) =>
    findPlugin({ environment, hasGpu: false, ...more });

  it('says exactly what to run when there is none', () => {
    expect(() => find()).toThrow(NoPluginError);
    expect(() => find()).toThrow(/^No PJRT plugin found\. Run: npx pjrt install cpu$/);
    expect(() => find({ platform: 'cuda' })).toThrow(/npx pjrt install cuda13$/);
  });

  it('goes from the option over the variable and Python to the cache', () => {
    const cached = file('cache', 'flow-grpo', 'pjrt', 'some-1.0', LAMMPS);
    expect(find()).toEqual({ path: cached, platform: 'cpu', source: 'cache' });
    fakePython('site');
    const python = file('site', OLD_CPU);
    expect(find()).toEqual({ path: python, platform: 'cpu', source: 'python' });
    const virtual = file('venv', 'lib', 'python3.12', 'site-packages', OLD_CPU);
    environment.VIRTUAL_ENV = join(root, 'venv');
    expect(find().path).toBe(virtual);
    environment.PJRT_PLUGIN_LIBRARY_PATH = file('my', 'plugin.so');
    expect(find()).toEqual({
      path: environment.PJRT_PLUGIN_LIBRARY_PATH,
      platform: 'cpu',
      source: 'PJRT_PLUGIN_LIBRARY_PATH',
    });
    const explicit = file('other', 'xla_cuda_plugin.so');
    expect(find({ plugin: explicit })).toEqual({ path: explicit, platform: 'cuda', source: 'option' });
    expect(listPlugins({ environment }).map(({ source }) => source)).toEqual([
      'PJRT_PLUGIN_LIBRARY_PATH',
      'python',
      'python',
      'cache',
    ]);
  });

  it('prefers CUDA where there is a GPU, and only there', () => {
    const cpu = file('cache', 'flow-grpo', 'pjrt', 'a', LAMMPS);
    const cuda = file('cache', 'flow-grpo', 'pjrt', 'b', CUDA);
    expect(find().path).toBe(cpu);
    expect(find({ hasGpu: true }).path).toBe(cuda);
    expect(find({ platform: 'cuda' }).path).toBe(cuda);
    expect(find({ hasGpu: true, platform: 'cpu' }).path).toBe(cpu);
    environment.FLOW_GRPO_XLA_PLATFORM = 'cpu';
    expect(find({ hasGpu: true }).path).toBe(cpu);
    expect(find({ hasGpu: true, platform: 'cuda' }).path).toBe(cuda);
    environment.FLOW_GRPO_XLA_PLATFORM = 'tpu';
    expect(() => find()).toThrow('FLOW_GRPO_XLA_PLATFORM is tpu; it must be cpu or cuda');
  });

  it('prefers the newer XLA among CPU plugins, and passes over unfinished installs', () => {
    file('cache', 'flow-grpo', 'pjrt', 'z', OLD_CPU);
    file('cache', 'flow-grpo', 'pjrt', '.install-1', LAMMPS);
    expect(find().path).toContain(OLD_CPU);
    const newer = file('cache', 'flow-grpo', 'pjrt', 'a', LAMMPS);
    expect(find().path).toBe(newer);
  });

  it('names the option or variable that points nowhere', () => {
    expect(() => find({ plugin: '/nowhere.so' })).toThrow(/\/nowhere\.so, which the plugin option names/);
    environment.PJRT_PLUGIN_LIBRARY_PATH = '/nowhere.so';
    expect(() => find()).toThrow(/which PJRT_PLUGIN_LIBRARY_PATH names/);
  });
});

describe('createClient refuses', () => {
  it('a file that is no library, and a library that is no plugin', async () => {
    const text = file('plugin.so');
    writeFileSync(text, 'hello');
    await expect(createClient({ plugin: text })).rejects.toThrow(/Cannot load the PJRT plugin .*plugin\.so/);
    const libc = process.report.getReport() as unknown as { sharedObjects: string[] };
    const library = libc.sharedObjects.find((each) => /libm\.so/.test(each))!;
    await expect(createClient({ plugin: library })).rejects.toThrow(/does not export GetPjrtApi/);
  });
});
