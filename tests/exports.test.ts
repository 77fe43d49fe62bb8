/** What packages export as values: each is imported by another package, an example or a document, or a document names it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { repositoryFiles } from './support/src/repository';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string) => readFileSync(join(root, file), 'utf8');

const packages = repositoryFiles((path) => /^packages\/[^/]+\/package\.json$/.test(path)).map(
  (path) => path.split('/')[1]!,
);

/** Source files of the entries that a package exports. */
function entriesOf(name: string): string[] {
  const { exports = {} } = JSON.parse(read(`packages/${name}/package.json`)) as {
    exports?: Record<string, string | { '@flow-grpo/source'?: string }>;
  };
  return Object.values(exports).flatMap((target) => {
    const source = typeof target === 'object' ? target['@flow-grpo/source'] : undefined;
    return source ? [join('packages', name, source)] : [];
  });
}

/** Names of the values that a file exports; types are not among them. */
function exportedValues(text: string): string[] {
  const plain = text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '');
  const listed = [...plain.matchAll(/export\s*\{([^}]*)\}/g)].flatMap(([, list]) =>
    list!
      .split(',')
      .map((each) => each.trim())
      .filter((each) => each !== '' && !each.startsWith('type '))
      .map((each) => each.split(/\s+as\s+/).at(-1)!),
  );
  const declared = [
    ...plain.matchAll(/export\s+(?:async\s+)?(?:const|let|class|function\*?)\s+([\w$]+)/g),
    ...plain.matchAll(/export\s+\*\s+as\s+([\w$]+)/g),
  ].map(([, name]) => name!);
  return [...listed, ...declared];
}

/** Tests that list names without using what has them. */
const LISTS = ['tests/exports.test.ts', 'tests/tensor-records.test.ts'];

/** The npm name of a package's folder. */
const npmName = (name: string) =>
  (JSON.parse(read(`packages/${name}/package.json`)) as { name: string }).name;

interface User {
  /** The folder whose package it belongs to; a package's README is for others. */
  readonly owner: string | undefined;
  readonly text: string;
  /** Names that it imports, by the package they come from. */
  readonly imported: ReadonlyMap<string, ReadonlySet<string>>;
  /** Words in the code of a document. */
  readonly named: ReadonlySet<string>;
}

/** What a text imports of our packages, subpaths included: by a list of names, or as members of a namespace. */
function importsOf(text: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const add = (specifier: string, names: readonly string[]) => {
    const from = specifier.startsWith('@')
      ? specifier.split('/').slice(0, 2).join('/')
      : specifier.split('/')[0]!;
    const known = found.get(from) ?? new Set();
    for (const name of names) known.add(name);
    found.set(from, known);
  };
  const OURS = String.raw`['"]((?:@flow-grpo|flow-grpo)[\w./-]*)['"]`;
  const list = new RegExp(
    String.raw`\{([^{}]*)\}\s*(?:from\s*${OURS}|=\s*await\s+import\(\s*${OURS}\s*\))`,
    'g',
  );
  for (const [, names, from, dynamic] of text.matchAll(list)) {
    add(
      (from ?? dynamic)!,
      names!.split(',').map(
        (each) =>
          each
            .trim()
            .replace(/^type\s+/, '')
            .split(/\s+as\s+|\s*:\s*/)[0]!,
      ),
    );
  }
  const namespace = new RegExp(String.raw`\*\s+as\s+(\w+)\s+from\s*${OURS}`, 'g');
  for (const [, alias, from] of text.matchAll(namespace)) {
    add(
      from!,
      [...text.matchAll(new RegExp(String.raw`\b${alias}\.(\w+)`, 'g'))].map(([, name]) => name!),
    );
  }
  const member = new RegExp(String.raw`\(await\s+import\(\s*${OURS}\s*\)\)\.(\w+)`, 'g');
  for (const [, from, name] of text.matchAll(member)) add(from!, [name!]);
  return found;
}

/** The words in a document's blocks and spans of code. */
const codeWords = (text: string) =>
  new Set((text.match(/^```[\s\S]*?^```|`[^`\n]+`/gm) ?? []).flatMap((code) => code.match(/[\w$]+/g) ?? []));

const users: User[] = repositoryFiles((path) =>
  /^(packages|page-components|examples|docs|benchmarks|tests|scripts)\/.*\.(tsx?|mts|mjs|md|vue|html)$|^[A-Z]+\.md$/.test(
    path,
  ),
)
  .filter((path) => !LISTS.includes(path))
  .map((path) => {
    const text = read(path);
    return {
      owner: /^packages\/([^/]+)\/(?!README)/.exec(path)?.[1],
      text,
      imported: importsOf(text),
      named: path.endsWith('.md') ? codeWords(text) : new Set<string>(),
    };
  });

/** Whether somebody outside of the package imports a value, or a document about the package names it. */
function isUsed(name: string, value: string): boolean {
  const npm = npmName(name);
  return users.some(
    ({ owner, text, imported, named }) =>
      owner !== name && (imported.get(npm)?.has(value) || (named.has(value) && text.includes(npm))),
  );
}

describe('packages', () => {
  it.each(packages)('%s has no `export *` at an entry', (name) => {
    const starred = entriesOf(name).filter((file) => /^export \* from/m.test(read(file)));
    expect(starred).toEqual([]);
  });

  it.each(packages)('%s exports no value that nobody uses and no document names', (name) => {
    const values = new Set(entriesOf(name).flatMap((file) => exportedValues(read(file))));
    expect([...values].filter((value) => !isUsed(name, value))).toEqual([]);
  });
});

it('no two packages export different values by one name', () => {
  const owners = new Map<string, string[]>();
  for (const name of packages) {
    for (const value of new Set(entriesOf(name).flatMap((file) => exportedValues(read(file))))) {
      owners.set(value, [...(owners.get(value) ?? []), name]);
    }
  }
  expect([...owners].filter(([, names]) => names.length > 1)).toEqual([]);
});

it('finds what a text imports', () => {
  const text = `import { a, type B, c as d } from '@flow-grpo/nn';
    const { e, f: g } = await import('flow-grpo/report');
    import * as sampler from '@flow-grpo/sde-sampler/rules'; sampler.h();
    (await import('@flow-grpo/pjrt')).i();`;
  expect(Object.fromEntries(importsOf(text))).toEqual({
    '@flow-grpo/nn': new Set(['a', 'B', 'c']),
    'flow-grpo': new Set(['e', 'f']),
    '@flow-grpo/sde-sampler': new Set(['h']),
    '@flow-grpo/pjrt': new Set(['i']),
  });
});

it('reads the code of a document alone', () => {
  expect(codeWords('One `two` three `four.five`\n```ts\nsix()\n```\nseven')).toEqual(
    new Set(['two', 'four', 'five', 'ts', 'six']),
  );
});

it('values are told from types', () => {
  const text = `export { a, type B, c as d } from './x';
    export type { E } from './y'; // export { no }
    export const f = 1; export async function g() {} export * as h from './h';`;
  expect(exportedValues(text)).toEqual(['a', 'd', 'f', 'g', 'h']);
});
