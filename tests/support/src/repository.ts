import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const PLACES = ['packages', 'examples', 'tests', 'docs', 'benchmarks', 'scripts'];
const OTHERS = new Set([
  'node_modules',
  'dist',
  '.bundle',
  'cache',
  'generated',
  '.nx',
  '.vite-temp',
  'assets',
]);

/** Folders of the site that its build writes. */
const BUILT = new Set(['docs/api', 'docs/public']);

/** The repository's own files that `wanted` takes, as paths from its root: nothing built, installed or generated. */
export function repositoryFiles(wanted: (path: string) => boolean): string[] {
  const walk = (folder: string): string[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return OTHERS.has(entry.name) || BUILT.has(path) ? [] : walk(path);
      return wanted(path) ? [path] : [];
    });
  return PLACES.flatMap(walk).sort();
}
