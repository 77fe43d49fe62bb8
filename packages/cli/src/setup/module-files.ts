/** The files that a module of yours is made of: it does what all of them say. */
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, extname, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** A text that may name a file beside a module: `./score.mjs`. */
const NAMED = /(['"`])((?:\.{1,2}\/|\/|file:)[^'"`\n\\$]*)\1/g;
/** Files with these endings are code, or data that code imports. */
const ENDINGS = ['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts', '.json', '.wasm', '.node'];
const CODE = /\.[cm]?[jt]s$/;

/** One file of a module. */
export interface ModuleFile {
  /** Relative to the module's folder; with slashes. */
  readonly name: string;
  readonly path: string;
}

/**
 * A module and the files that it, and those in turn, name by a path: imports, workers, tables in JSON. Packages are not among
 * them. The module comes first, the others in the order of their names.
 *
 * @throws when the module itself cannot be read
 */
export async function moduleFiles(module: string): Promise<ModuleFile[]> {
  const first = await realpath(module); // as Node resolves imports
  const known = new Set([first]);
  for (const path of known) {
    if (!CODE.test(path)) continue;
    const text = await readFile(path, 'utf8');
    for (const [, , named] of text.matchAll(NAMED)) {
      const file = await existing(named!, path);
      if (file !== undefined) known.add(file);
    }
  }
  const folder = dirname(first);
  const files = [...known].map((path) => ({
    name: relative(folder, path).replaceAll('\\', '/'),
    path,
  }));
  const [own, ...others] = files;
  return [own!, ...others.sort((a, b) => (a.name < b.name ? -1 : 1))];
}

/** The file that a text in `importer` names; undefined where there is none. */
async function existing(named: string, importer: string): Promise<string | undefined> {
  let path: string;
  try {
    path = fileURLToPath(new URL(named, pathToFileURL(importer)));
  } catch {
    return undefined; // no path at all
  }
  const stem = path.replace(/\.([cm]?)js$/, '.$1ts'); // what TypeScript's imports are written for
  const others = ENDINGS.includes(extname(path))
    ? [stem]
    : ENDINGS.flatMap((ending) => [`${path}${ending}`, `${path}/index${ending}`]);
  for (const candidate of [path, ...others]) {
    if (!ENDINGS.includes(extname(candidate))) continue;
    const found = await stat(candidate).catch(() => undefined);
    if (found?.isFile()) return realpath(candidate);
  }
  return undefined;
}
