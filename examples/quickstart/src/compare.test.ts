import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { resolveConfig } from '@flow-grpo/grpo-trainer';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { recipe } from './recipe';

const folder = fileURLToPath(new URL('../compare/', import.meta.url));

it.each(readdirSync(folder))('compare/%s is what the quickstart runs', (file) => {
  const { setup, ...own } = parse(readFileSync(folder + file, 'utf8'));
  // Paths in a run file are relative to it.
  const built = fileURLToPath(new URL('../dist/setup.js', import.meta.url));
  expect({ ...setup, path: resolve(folder, setup.path) }).toEqual({ kind: 'module', path: built });
  const { algorithm } = own as { algorithm: string };
  expect(file).toBe(`${algorithm}.yaml`);
  const given = { seed: own.seed ?? 42, devices: 1, algorithm, images: 25_600, curve: 6400, set: [] };
  const { epochs, ...asked } = resolveConfig(recipe({ ...given, learningRate: undefined } as never, true));
  const { epochs: _, ...written } = resolveConfig(own);
  expect(epochs).toBe(100);
  expect(written).toEqual(asked);
});
