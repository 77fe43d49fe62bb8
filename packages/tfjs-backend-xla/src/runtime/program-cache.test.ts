import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
