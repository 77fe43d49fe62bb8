import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadParams, saveSafetensors } from '@flow-grpo/checkpoint-io';
import { startXla } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { writeTinyShowo2 } from '../setup/testing/tiny-showo2';
import { main } from './main';

let folder: string;
let model: string;
let printed: string[];
beforeAll(async () => {
  await startXla();
  folder = await mkdtemp(join(tmpdir(), 'verify-command-'));
  ({ model } = await writeTinyShowo2(folder));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => {
  printed = [];
  const keep = (...texts: unknown[]) => void printed.push(texts.join(' '));
  vi.spyOn(console, 'log').mockImplementation(keep);
  vi.spyOn(console, 'error').mockImplementation(keep);
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

const run = (...args: string[]) => main(['node', 'flow-grpo', 'verify', ...args]);

describe('flow-grpo verify', () => {
  it('finds every key and draws four images', async () => {
    const output = join(folder, 'out');
    await run(model, '--steps', '2', '-o', output);
    expect(process.exitCode).toBeUndefined();
    expect(printed.join('\n')).toMatch(
      /^keys +ok: all \d+ tensors are present.*\nimages +ok: .*verify\.png: check/,
    );
    expect(printed.join('\n')).toMatch(/Numbers were not compared; --reference FILE/);
    const png = await readFile(join(output, 'verify.png'));
    expect(png.readUInt32BE(16)).toBeGreaterThan(100); // four images beside each other
  });

  it('names missing, unexpected and misshaped keys, and ends with 1', async () => {
    const file = join(model, 'model.safetensors');
    const params = await loadParams(file);
    const { 'fusion_proj.1.weight': first, ...rest } = params;
    expect(first).toBeDefined();
    const names = Object.keys(rest);
    await saveSafetensors(file, { ...rest, [names[0]!]: tf.zeros([7]), stranger: tf.zeros([1]) });
    await run(model, '--json');
    await saveSafetensors(file, params);
    expect(process.exitCode).toBe(1);
    const { ok, checks } = JSON.parse(printed[0]!);
    expect(ok).toBe(false);
    expect(checks).toHaveLength(1);
    expect(checks[0].detail).toMatch(
      /missing[\s\S]*fusion_proj\.1\.weight[\s\S]*unexpected[\s\S]*stranger[\s\S]*wrongly shaped[\s\S]*found \[7\]/,
    );
  });

  it.each([
    [['/no/model'], /\/no\/model does not exist/],
    [['/no/model', '--dtype', 'int8'], /--dtype int8: give float32 or bfloat16/],
    [['/no/model', '--steps', '0'], /--steps 0: give a whole number/],
    [['/no/model', '--reference', '/no/file'], /--reference \/no\/file: .*reference\/showo2\.py/],
    [['/no/model', '--reward', 'pickscor'], /there is no reward pickscor \(did you mean pickscore\?\)/],
    [['/no/model', '--reward', 'pickscore'], /\/no\/model does not exist/],
    [[], /missing required argument 'model'/],
  ])('refuses %j in words', async (args, message) => {
    const error = vi
      .spyOn(process.stderr, 'write')
      .mockImplementation((text) => printed.push(String(text)) > 0);
    await run(...args);
    expect(error).toBeDefined();
    expect(printed.join('\n')).toMatch(message);
    expect(process.exitCode).toBe(2);
  });
});
