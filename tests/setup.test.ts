import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { missingPackages } from '../scripts/missing-packages.mjs';

/** What `npm run setup` takes for installed. */
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'setup-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(file: string, json: unknown): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), JSON.stringify(json));
}

const PACKAGES = {
  'node_modules/esbuild': { version: '1.0.0' },
  'packages/pjrt/node_modules/koffi': { version: '2.0.0' },
};
const WORKSPACE = {
  '': { workspaces: ['packages/*'] },
  'packages/pjrt': { version: '0.0.0' },
  'node_modules/@flow-grpo/pjrt': { resolved: 'packages/pjrt', link: true },
  'node_modules/other-system': { version: '1.0.0', optional: true },
};

/** As `npm ci` leaves it. */
function install(): void {
  write('package-lock.json', { packages: { ...WORKSPACE, ...PACKAGES } });
  write('packages/pjrt/package.json', {});
  for (const [path, { version }] of Object.entries(PACKAGES)) write(join(path, 'package.json'), { version });
  mkdirSync(join(root, 'node_modules/@flow-grpo'));
  symlinkSync('../../packages/pjrt', join(root, 'node_modules/@flow-grpo/pjrt'));
}

it('is everything after an installation, without what other systems need', () => {
  install();
  expect(missingPackages(root)).toEqual([]);
});

it('is nothing before one', () => {
  write('package-lock.json', { packages: { ...WORKSPACE, ...PACKAGES } });
  expect(missingPackages(root)).toEqual(['node_modules/@flow-grpo/pjrt', ...Object.keys(PACKAGES)]);
});

it.each([
  ['node_modules', 'node_modules/esbuild'],
  ['packages/pjrt/node_modules', 'packages/pjrt/node_modules/koffi'],
  ['node_modules/@flow-grpo/pjrt', 'node_modules/@flow-grpo/pjrt'],
])('lacks what lay in %s when that is gone', (folder, lacking) => {
  install();
  rmSync(join(root, folder), { recursive: true });
  expect(missingPackages(root)).toContain(lacking);
});

it('is everything in this repository, whose tests are running', () => {
  expect(missingPackages(fileURLToPath(new URL('..', import.meta.url)))).toEqual([]);
});

it('lacks what the lock file has in another version, or anew', () => {
  install();
  const changed = { 'node_modules/esbuild': { version: '1.0.1' }, 'node_modules/new': { version: '1.0.0' } };
  write('package-lock.json', { packages: { ...WORKSPACE, ...PACKAGES, ...changed } });
  expect(missingPackages(root)).toEqual(['node_modules/esbuild', 'node_modules/new']);
});
