import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

/** What `npm ci` needs of the lock file, checked where the message can say what to do. */
const root = fileURLToPath(new URL('..', import.meta.url));

type Dependencies = Record<string, string>;

interface Manifest {
  workspaces?: string[];
  dependencies?: Dependencies;
  devDependencies?: Dependencies;
  peerDependencies?: Dependencies;
  optionalDependencies?: Dependencies;
}

const read = (file: string): unknown => JSON.parse(readFileSync(join(root, file), 'utf8'));
const { packages } = read('package-lock.json') as { packages: Record<string, Manifest> };
const workspaces = (read('package.json') as Manifest)
  .workspaces!.flatMap((glob) =>
    glob.endsWith('/*') ? readdirSync(join(root, glob.slice(0, -1))).map((n) => glob.slice(0, -1) + n) : glob,
  )
  .filter((folder) => existsSync(join(root, folder, 'package.json')));

it.each(['', ...workspaces])(
  'has the dependencies of package.json in /%s (else run npm install)',
  (folder) => {
    const manifest = read(join(folder, 'package.json')) as Manifest;
    for (const kind of ['dependencies', 'devDependencies', 'peerDependencies'] as const)
      expect(packages[folder]?.[kind] ?? {}, kind).toEqual(manifest[kind] ?? {});
  },
);

it("has every system's packages (else remove the parent's entries and run npm install --package-lock-only)", () => {
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter((name) => !found(path, name))
      .map((name) => `${name}, which ${path} may load`),
  );
  expect(missing).toEqual([]);
});

/** Whether Node would find `name` from the package at `path`. */
function found(path: string, name: string): boolean {
  if (packages[`${path}${path && '/'}node_modules/${name}`]) return true;
  if (path === '') return false;
  const parent = path.lastIndexOf('/node_modules/');
  return found(parent < 0 ? '' : path.slice(0, parent), name);
}
