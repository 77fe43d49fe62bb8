import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The places of `package-lock.json`, such as `packages/pjrt/node_modules/koffi`, where no package lies or one of another
 * version; packages that only other systems need do not count. The disk is looked at: npm's own list in node_modules knows
 * neither what was deleted since nor what lies in the folders of workspaces.
 *
 * @param {string} root
 * @returns {string[]}
 */
export function missingPackages(root) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.keys(packages).filter((path) => {
    const { optional, link, version } = packages[path];
    if (optional || !path.includes('node_modules/')) return false;
    const manifest = join(root, path, 'package.json');
    if (!existsSync(manifest)) return true;
    return !link && JSON.parse(readFileSync(manifest, 'utf8')).version !== version;
  });
}
