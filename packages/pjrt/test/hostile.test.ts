/** What a caller may hand over by mistake: an error each time, never a crash. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, findPlugin, PjrtBuffer, type PjrtClient, type PjrtExecutable } from '../src/index';
import { bundleText } from './bundle';
import { addProgram, cpuClient, f32 } from './plugin';

let client: PjrtClient;
let executable: PjrtExecutable;
let good: PjrtBuffer;
let folder: string;
beforeAll(async () => {
  client = await cpuClient();
  executable = client.compileSync(addProgram(2));
  good = f32(client, [1, 2]);
  folder = mkdtempSync(join(tmpdir(), 'pjrt-hostile-'));
});
afterAll(() => {
  client.dispose();
  rmSync(folder, { recursive: true });
});

describe('arguments that look like a buffer', () => {
  const shape = { elementType: 'f32', dims: [2], isDisposed: false, isDeleted: false };
  it.each<[string, () => unknown]>([
    ['a plain object with a handle', () => ({ ...shape, client, device: good.device, handle: 4096 })],
    ['an object with the class behind it', () => Object.assign(Object.create(PjrtBuffer.prototype), good)],
    ['a copy of a buffer', () => ({ ...good })],
    ['a proxy', () => new Proxy(good, {})],
    ['a number', () => good.handle],
    ['null', () => null],
    ['nothing', () => undefined],
    ['a typed array', () => new Float32Array(2)],
  ])('%s is refused', (_, make) => {
    expect(() => executable.execute([[good, make() as PjrtBuffer]])).toThrow(
      /argument 1 is not a PjrtBuffer/,
    );
  });
});

describe('host memory', () => {
  const looksLike = { byteLength: 8, byteOffset: 0, buffer: new ArrayBuffer(8) } as unknown as Float32Array;
  it.each<[string, (data: Float32Array<ArrayBuffer>) => unknown]>([
    ['bufferFromHost', (data) => client.bufferFromHost(data, 'f32', [2])],
    ['bufferFromHostAsync', (data) => client.bufferFromHostAsync(data, 'f32', [2])],
    ['toHost', (data) => good.toHost(data)],
    ['toHostSync', (data) => good.toHostSync(data)],
    ['compileSync', (data) => client.compileSync(data as unknown as string)],
    ['compile', (data) => client.compile(data as unknown as string)],
    ['deserialize', (data) => client.deserialize(data as unknown as Uint8Array)],
    ['deserializeAsync', (data) => client.deserializeAsync(data as unknown as Uint8Array)],
  ])('%s refuses what only looks like it', async (_, use) => {
    await expect(async () => use(looksLike as Float32Array<ArrayBuffer>)).rejects.toThrow(/must be|needed/);
  });
});

describe('a plugin file', () => {
  const path = () => findPlugin({ platform: 'cpu' }).path;

  it.each([0, 3, 40, 64, 5000, 1e6, -1])('that is cut off at byte %d is refused', async (at) => {
    const cut = join(folder, 'cut.so');
    const bytes = new Uint8Array(at < 0 ? statSync(path()).size + at : at);
    const file = openSync(path(), 'r');
    readSync(file, bytes);
    closeSync(file);
    writeFileSync(cut, bytes);
    await expect(createClient({ plugin: cut })).rejects.toThrow(/is cut off|Cannot load the PJRT plugin/);
    rmSync(cut);
  });

  it('of another kind is refused', async () => {
    const text = join(folder, 'text.so');
    writeFileSync(text, 'not a library\n'.repeat(100));
    await expect(createClient({ plugin: text })).rejects.toThrow(/Cannot load the PJRT plugin/);
  });
});

it('hundreds of refused programs leave the process as it was', () => {
  const bundle = fileURLToPath(new URL('../node_modules/.cache/refused-test.mjs', import.meta.url));
  bundleText(
    `
        import { createClient } from './src/index';
        import { addProgram } from './test/plugin';
        const client = await createClient({ platform: 'cpu' });
        let refused = 0;
        // Of every length around a page's, so that some end where their memory does.
        for (let i = 0; i < 800; i++) {
          const text = 'module { func.func @main() { %' + 'x'.repeat(4060 + (i % 80));
          try { client.compileSync(i % 2 ? text : new TextEncoder().encode(text)); } catch { refused++; }
        }
        const executable = client.compileSync(addProgram(1));
        console.log(refused);
        executable.dispose();
        client.dispose();`,
    bundle,
  );
  try {
    const { status, signal, stdout } = spawnSync(process.execPath, [bundle], { encoding: 'utf8' });
    expect({ status, signal, stdout }).toEqual({ status: 0, signal: null, stdout: '800\n' });
  } finally {
    rmSync(bundle);
  }
});
