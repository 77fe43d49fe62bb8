import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fixtureCases, maxAbsDiff, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { CheckpointError, openCheckpoint } from './index';

interface Declared {
  dtype: string;
  shape: number[];
}

/** Good layouts by what the case's README says of them. */
const GOOD = [
  'single.safetensors',
  'sharded.safetensors.index.json',
  'zip.pth',
  'nested.pth',
  'parameters.bin',
  'legacy.pth',
  'protocol4.pth',
  'pytorch_model.bin.index.json',
];

for (const { name: caseName, dir } of fixtureCases('checkpoints')) {
  describe(caseName, () => {
    const expected = readTensors(dir, 'expected.safetensors');
    const declared = readJson<Record<string, Declared>>(dir, 'expected_dtypes.json');

    describe.each(GOOD.filter((file) => existsSync(join(dir, file))))('%s', (file) => {
      it('gives every tensor exactly', async () => {
        const checkpoint = await openCheckpoint(join(dir, file));
        expect(checkpoint.names.length).toBeGreaterThan(0);
        for (const name of checkpoint.names) {
          const { dtype, shape } = checkpoint.info(name);
          expect({ dtype, shape }, name).toEqual(declared[name]);
          const tensor = await checkpoint.read(name);
          expect(tensor.shape).toEqual(shape);
          expect(maxAbsDiff(tensor.dataSync(), numbers(expected[name]!)), name).toBe(0);
          const signs = (values: ArrayLike<number>) => Array.from(values, (value) => Object.is(value, -0));
          expect(signs(tensor.dataSync()), name).toEqual(signs(numbers(expected[name]!)));
        }
        const plain = Object.keys(expected).filter((name) => !/^(view|tied)\./.test(name));
        if (file.includes('safetensors')) expect([...checkpoint.names].sort()).toEqual(plain.sort());
        await checkpoint.close();
      });
    });

    const bad = readJson<{ files: { file: string; why: string }[] }>(dir, 'bad.json').files;
    it.each(bad)('refuses $file: $why', async ({ file }) => {
      const error = await openCheckpoint(join(dir, file)).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(CheckpointError);
      expect((error as CheckpointError).file).toBe(join(dir, file));
      expect((error as CheckpointError).offset).toBeGreaterThanOrEqual(0);
    });
  });
}
