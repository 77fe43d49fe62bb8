import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { readmeTable } from './readme';
import type { Results } from './results';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const folder = path('../../results');
const newest = readdirSync(folder)
  .filter((name) => /^\d{4}.*\d\.json$/.test(name))
  .sort()
  .at(-1)!;

it('shows the newest full-size results in docs/measurements.md, to the letter', () => {
  const results = JSON.parse(readFileSync(`${folder}/${newest}`, 'utf8')) as Results;
  expect(results.workload).toBe('full');
  const page = readFileSync(path('../../../docs/measurements.md'), 'utf8');
  expect(page).toContain(readmeTable(results));
  expect(page).toContain(`benchmarks/results/${newest}`);
});
