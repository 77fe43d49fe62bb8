/** A variable of the environment that is empty counts as unset: `FLOW_GRPO_FIXTURES= npm test` is how one takes it away. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fixtureCases, fixturesRoot } from '@flow-grpo/test-support';
import { afterEach, expect, it, vi } from 'vitest';
import { repositoryFiles } from './support/src/repository';

const root = fileURLToPath(new URL('..', import.meta.url));
afterEach(() => vi.unstubAllEnvs());

it.each(['', undefined])(
  'the fixtures are those of the repository where FLOW_GRPO_FIXTURES is %j',
  (value) => {
    vi.stubEnv('FLOW_GRPO_FIXTURES', value);
    expect(join(fixturesRoot(), '.')).toBe(join(root, 'fixtures'));
    expect(existsSync(join(fixtureCases('sde')[0]!.dir, 'case.json'))).toBe(true);
  },
);

const VALUE = /process\.env(\.\w+|\[[^\]]+\]) \?\? (?!'')/;

it('no test and no script takes an empty variable for a value', () => {
  const files = repositoryFiles((path) => /\.test\.ts$|^tests\/|^scripts\//.test(path));
  const given = files.filter((file) => VALUE.test(readFileSync(join(root, file), 'utf8')));
  expect(given).toEqual([]);
});
