/** What must not stand in the sources of packages. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { circlesOf, importsOf } from './support/src/import-circles';
import { repositoryFiles } from './support/src/repository';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = repositoryFiles((path) => /^packages\/[^/]+\/src\/.*\.tsx?$/.test(path));
const ours = sources.filter((path) => !/\.(test|testing)\.ts$|\/testing\//.test(path));

describe('import circles', () => {
  it('are none within a package, `import type` included', () => {
    expect(circlesOf(new Map(sources.map((file) => [file, importsOf(file)])))).toEqual([]);
  });

  it('are found, however long, through types, re-exports and dynamic imports', () => {
    const graph = { a: ['b'], b: ['c', 'x'], c: ['a'], d: ['d', 'e'], e: ['d'], x: [], f: ['a', 'outside'] };
    expect(circlesOf(new Map(Object.entries(graph)))).toEqual([
      ['a', 'b', 'c'],
      ['d', 'e'],
    ]);
    const text = `
      import type { A } from './client';
      export {
        b,
      } from './errors';
      import './buffer';
      const { c } = await import('./api');
      type D = import('./element-types').ElementType;
      import koffi from 'koffi';`;
    const found = importsOf('packages/pjrt/src/index.ts', text);
    const names = ['client', 'errors', 'buffer', 'api', 'element-types'];
    expect(found).toEqual(names.map((name) => `packages/pjrt/src/${name}.ts`));
  });
});

describe('a question that belongs elsewhere', () => {
  /** What an algorithm is stands in its file, and what a backend can do is asked of the functions of tfjs-jit. */
  const ASKED = /objective [!=]==|getBackend\(\) [!=]==/;

  it('is asked nowhere outside of the algorithms and the XLA package', () => {
    const asking = ours
      .filter((path) => !/^packages\/(tfjs-backend-xla\/|grpo-trainer\/src\/algorithms\/)/.test(path))
      .filter((file) => ASKED.test(readFileSync(join(root, file), 'utf8')));
    expect(asking).toEqual([]);
  });
});

describe('folders', () => {
  it('are created by makeFolder alone: the recursive option of Node may never return', () => {
    const RECURSIVE = /\bmkdir(Sync)?\([^;]*recursive/;
    const made = [...ours, ...repositoryFiles((path) => /^examples\/[^/]+\/src\/.*\.ts$/.test(path))]
      .filter((path) => !/\.(test|testing)\.ts$/.test(path))
      .filter((file) => RECURSIVE.test(readFileSync(join(root, file), 'utf8')));
    expect(made).toEqual([]);
  });
});
