import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createClient, listPlugins, type PjrtBuffer } from '../src/index';
import { WHEEL_PATHS } from '../src/plugins/locations';
import { addProgram, f32, numbers } from './plugin';

/**
 * Folders with other CPU wheels unpacked, beside what discovery finds:
 * `PJRT_TEST_WHEELS=/wheels/a:/wheels/b npx vitest run test/other-plugins.test.ts`.
 */
const folders = (process.env.PJRT_TEST_WHEELS ?? '').split(':').filter(Boolean);
const found = [
  ...listPlugins().map(({ path }) => path),
  ...folders.flatMap((folder) => WHEEL_PATHS.map(({ path }) => join(folder, path)).filter(existsSync)),
];

describe.each(WHEEL_PATHS.filter(({ platform }) => platform === 'cpu'))('$path', ({ path }) => {
  const library = found.find((each) => each.endsWith(path));

  it.skipIf(library === undefined)(
    'computes, serializes and refuses (skipped where the wheel is not here)',
    async () => {
      const client = await createClient({ plugin: library, options: { cpu_device_count: 2 } });
      expect(client.devices).toHaveLength(2);
      const executable = await client.compile(addProgram(2));
      const a = f32(client, [1, 2]);
      for (const each of [executable, client.deserialize(executable.serialize())]) {
        const [[sum]] = each.execute([[a, a]]) as [[PjrtBuffer]];
        expect(numbers(sum)).toEqual([2, 4]);
      }
      expect(() => executable.execute([[a]])).toThrow(/takes 2/);
      await expect(client.compile('module {')).rejects.toThrow(/expected operation name/);
      client.dispose();
    },
  );
});
