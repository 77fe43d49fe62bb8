/** Ways of writing tests that fail by chance or on slow machines, which reading a test file shows. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { withoutData } from './support/src/pages';
import { repositoryFiles } from './support/src/repository';

const root = fileURLToPath(new URL('..', import.meta.url));
const tests = repositoryFiles((path) => /\.(test|testing)\.ts$|\/testing\/|tests\/support\//.test(path));

/** `file:line` of every line of a test that matches. */
const places = (pattern: RegExp) =>
  tests.flatMap((file) =>
    file.endsWith('chance.test.ts')
      ? []
      : readFileSync(join(root, file), 'utf8')
          .split('\n')
          .flatMap((line, i) => (pattern.test(line) ? [`${file}:${i + 1} ${line.trim()}`] : [])),
  );

it('finds the tests', () => {
  expect(tests.length).toBeGreaterThan(100);
});

describe('no test', () => {
  it.each([
    [
      'has a limit of time of its own: vitest.base.ts has one that ends only what hangs',
      /testTimeout|hookTimeout|^\s*\}, \d[\d_]{3,}\);|^\s*\d{1,3}(_\d{3})+,$|\btimeout: \d[\d_]{3,} \}, (async )?\(/,
    ],
    [
      'waits for something for a second at most, as vi.waitFor does unless told otherwise',
      /vi\.(waitFor|waitUntil)\((?!.*timeout)/,
    ],
    ['listens on a port that something else may have', /\.listen\([1-9]/],
    ['shares a temporary folder', /tmpdir\(\)(?!.*mkdtemp)(?<!mkdtemp(Sync)?\(.*)/],
    [
      'expects seconds, or compares with a clock',
      /expect\((ms|elapsed|milliseconds)\)\.to(?!BeGreaterThan\(0\))|expect\(.*(performance|Date)\.now\(\)/,
    ],
    [
      'looks for a short word in a page with pictures',
      /expect\((page|html)\)\.not\.to(Match|Contain)\(\/?['"]?\w+[|/'"]/,
    ],
  ])('%s', (_, pattern) => {
    expect(places(pattern)).toEqual([]);
  });
});

it('leaves the words of a page, and takes what its data URLs hold', () => {
  const page = `<p>NaN</p><img src="data:image/png;base64,iVBNaN+/undefined=="> url(data:text/plain,NaN%20a) after`;
  expect(withoutData(page)).toBe('<p>NaN</p><img src="data:image/png;base64,"> url(data:text/plain,) after');
});
