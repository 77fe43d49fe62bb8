import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readProgram, writeProgram } from './program-cache';

let root: string;
let before: string | undefined;
beforeEach(() => {
  before = process.env.FLOW_GRPO_XLA_CACHE;
  root = mkdtempSync(join(tmpdir(), 'program-cache-'));
});
afterEach(() => {
  if (before === undefined) delete process.env.FLOW_GRPO_XLA_CACHE;
  else process.env.FLOW_GRPO_XLA_CACHE = before;
  rmSync(root, { recursive: true });
  vi.restoreAllMocks();
});

const program = new Uint8Array([1, 2, 3]);

describe('the cache of compiled programs', () => {
  it('gives back what it was given, and nothing that is damaged', () => {
    process.env.FLOW_GRPO_XLA_CACHE = join(root, 'cache');
    expect(readProgram('key')).toBeUndefined();
    expect(writeProgram('key', () => program)).toBe(true);
    expect(readProgram('key')).toEqual(Buffer.from(program));
    writeFileSync(join(root, 'cache', 'key'), 'damaged');
    expect(readProgram('key')).toBeUndefined();
    expect(readdirSync(join(root, 'cache'))).toEqual(['key']);
  });

  it('is shared by the threads of a process, which keep the same programs at once', async () => {
    const bundle = join(root, 'program-cache.mjs');
    await build({
      entryPoints: [fileURLToPath(new URL('./program-cache.ts', import.meta.url))],
      outfile: bundle,
      bundle: true,
      format: 'esm',
      platform: 'node',
      conditions: ['@flow-grpo/source'],
    });
    const thread = `
      import(${JSON.stringify(pathToFileURL(bundle).href)}).then(({ writeProgram }) => {
        const { parentPort, workerData } = require('node:worker_threads');
        const { started, threads } = workerData;
        Atomics.add(started, 0, 1);
        while (Atomics.load(started, 0) < threads);
        let kept = 0;
        for (let i = 0; i < 100; i++) kept += writeProgram('key' + i, () => new Uint8Array(1e5).fill(i));
        parentPort.postMessage(kept);
      });`;
    const started = new Int32Array(new SharedArrayBuffer(4));
    const env = { ...process.env, FLOW_GRPO_XLA_CACHE: join(root, 'cache') };
    const kept = await Promise.all(
      [0, 1, 2].map(async () => {
        const worker = new Worker(thread, { eval: true, env, workerData: { started, threads: 3 } });
        const [count] = await once(worker, 'message');
        await worker.terminate();
        return count;
      }),
    );
    expect(kept).toEqual([100, 100, 100]);
    expect(readdirSync(join(root, 'cache'))).toHaveLength(100);
  });

  it.each([
    ['a file', () => join(root, 'file')],
    ['below a file', () => join(root, 'file', 'cache')],
    ['too long a name', () => join(root, 'x'.repeat(300))],
  ])('whose folder is %s costs a warning that names it, once', (_, path) => {
    writeFileSync(join(root, 'file'), 'of the user');
    process.env.FLOW_GRPO_XLA_CACHE = path();
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    for (let i = 0; i < 2; i++) {
      expect(readProgram('key')).toBeUndefined();
      expect(writeProgram('key', () => program)).toBe(false);
    }
    expect(warn).toHaveBeenCalledTimes(1);
    expect(warn.mock.calls[0]![0]).toContain(path());
    expect(warn.mock.calls[0]![0]).toContain('FLOW_GRPO_XLA_CACHE');
  });
});
