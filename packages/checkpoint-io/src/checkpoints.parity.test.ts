import { join } from 'node:path';
import { fixtureCases, maxAbsDiff, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { CheckpointError, openCheckpoint } from './index';

interface Declared {
  dtype: string;
  shape: number[];
}

/** What a case says of its files; damaged and hostile ones are listed in bad.json. */
interface Case {
  files: Record<string, { description: string }>;
}

/** The files a checkpoint can be opened by: not the shards, not the expected numbers, not the damaged ones. */
function openable(dir: string): string[] {
  const bad = new Set(readJson<{ files: { file: string }[] }>(dir, 'bad.json').files.map(({ file }) => file));
  return Object.keys(readJson<Case>(dir, 'case.json').files).filter(
    (file) =>
      /\.(safetensors|index\.json|pth|bin)$/.test(file) &&
      file !== 'expected.safetensors' &&
      !/-\d+-of-\d+\./.test(file) &&
      !bad.has(file),
  );
}

for (const { name: caseName, dir } of fixtureCases('checkpoints')) {
  describe(caseName, () => {
    const expected = readTensors(dir, 'expected.safetensors');
    const declared = readJson<Record<string, Declared>>(dir, 'expected_dtypes.json');

    describe.each(openable(dir))('%s', (file) => {
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

for (const { name, dir } of fixtureCases('wanvae-')) {
  it(`${name}: model.pth holds what model.safetensors holds`, async () => {
    const expected = readTensors(dir, 'model.safetensors');
    const checkpoint = await openCheckpoint(join(dir, 'model.pth'));
    expect([...checkpoint.names].sort()).toEqual(Object.keys(expected).sort());
    for (const key of checkpoint.names) {
      expect(checkpoint.info(key).shape).toEqual(expected[key]!.shape);
      expect(maxAbsDiff(await checkpoint.readValues(key), numbers(expected[key]!)), key).toBe(0);
    }
    await checkpoint.close();
  });
}
