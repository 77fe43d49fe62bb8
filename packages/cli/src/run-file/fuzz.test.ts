/** Always the same inputs; `fuzz.long.test.ts` tries others. */
import { expect, it } from 'vitest';
import { fuzzRunFiles } from './fuzz.testing';

const FILES = 500;

it(`${FILES} damaged run files are read or refused in words`, async () => {
  const refused = await fuzzRunFiles(0, FILES);
  expect(refused).toBeGreaterThan(FILES / 4);
  expect(refused).toBeLessThan(FILES);
});
