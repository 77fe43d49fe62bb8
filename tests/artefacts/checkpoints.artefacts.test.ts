/** Every checkpoint of some packages of PyPI is read byte for byte as PyTorch reads it, or refused by its format's name. */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { openCheckpoint } from '@flow-grpo/checkpoint-io';
import { beforeAll, describe, expect, it } from 'vitest';
import packages from './packages.json';
import { artefacts, reference } from './reference';

interface Tensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256: string;
}

interface Read {
  readonly weightsOnly: boolean;
  readonly tensors: Readonly<Record<string, Tensor>>;
}

const filesOf = (name: string) =>
  readdirSync(join(artefacts, name), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(pt|pth|pth\.tar|ckpt|bin|safetensors)$/.test(file))
    .map((file) => join(artefacts, name, file));

const names = Object.keys(packages.checkpoints);
const files = names.flatMap(filesOf).sort();
let read: Record<string, Read | { readonly error: string }>;
beforeAll(async () => {
  read = await reference('checkpoints', ...files);
});

it(`finds checkpoints in all ${names.length} packages`, () => {
  expect(names.length).toBeGreaterThanOrEqual(12);
  expect(names.filter((name) => filesOf(name).length === 0)).toEqual([]);
  expect(files.length).toBeGreaterThanOrEqual(29);
});

/** Ours are those of one dictionary in the file: all that lie under some prefix of PyTorch's names, without it. */
function underPrefix(
  names: readonly string[],
  all: Readonly<Record<string, Tensor>>,
): Record<string, Tensor> {
  const [first = ''] = names;
  const candidates = Object.keys(all).filter((name) => name === first || name.endsWith(`.${first}`));
  for (const candidate of candidates) {
    const prefix = candidate.slice(0, candidate.length - first.length);
    const under = Object.entries(all).filter(([name]) => name.startsWith(prefix));
    const found = Object.fromEntries(under.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
    if (names.every((name) => name in found)) return found;
  }
  throw new Error(`PyTorch has no dictionary with ${first}`);
}

describe.each(files.map((file) => [relative(artefacts, file), file]))('%s', (_, file) => {
  it('has PyTorch’s tensors', async () => {
    const expected = read[file]!;
    if ('error' in expected) throw new Error(`PyTorch: ${expected.error}`);
    const checkpoint = await openCheckpoint(file);
    try {
      const found: Record<string, Tensor> = {};
      for (const name of checkpoint.names) {
        const { dtype, shape } = checkpoint.info(name);
        const bytes = await checkpoint.readBytes(name);
        found[name] = { dtype, shape, sha256: createHash('sha256').update(bytes).digest('hex') };
      }
      expect(found).toEqual(underPrefix(checkpoint.names, expected.tensors));
    } finally {
      await checkpoint.close();
    }
  });
});
