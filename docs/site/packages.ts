import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** Folders of all packages. */
export const packageNames: readonly string[] = readdirSync(path('../../packages'));

/** What npm calls the package of a folder. */
export const npmName = (folder: string): string =>
  (JSON.parse(readFileSync(path(`../../packages/${folder}/package.json`), 'utf8')) as { name: string }).name;

/** Where the API reference of a package starts: a page, or a folder when it has several. */
export const apiLink = (folder: string): string => {
  const page = `api/${npmName(folder)}`;
  return `/${page}${existsSync(path(`../${page}.md`)) ? '' : '/'}`;
};
