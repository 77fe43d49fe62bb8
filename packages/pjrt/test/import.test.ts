// @own-process: it asks which libraries the process has loaded.
import { expect, it } from 'vitest';

const nativeLibraries = () =>
  (process.report.getReport() as unknown as { sharedObjects: string[] }).sharedObjects.filter((each) =>
    /koffi|pjrt/.test(each),
  );

it('importing the package loads no native code, starting a client does', async () => {
  const { createClient } = await import('../src/index');
  expect(nativeLibraries()).toEqual([]);
  const client = await createClient({ platform: 'cpu' });
  client.dispose();
  expect(nativeLibraries().length).toBeGreaterThan(0);
});
