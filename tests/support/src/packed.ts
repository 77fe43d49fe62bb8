/** The packages as npm would publish them, for tests that install them elsewhere. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Folders of all packages. */
export const packageFolders: readonly string[] = readdirSync(join(root, 'packages'));

const manifestOf = (folder: string) =>
  JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
  };

/** What npm calls the package of a folder. */
export const npmName = (folder: string): string => manifestOf(folder).name;

/** The file of a package's tarball. */
export function tarballOf(folder: string, destination: string): string {
  const { name, version } = manifestOf(folder);
  return join(destination, `${name.replace('@', '').replace('/', '-')}-${version}.tgz`);
}

/**
 * Packs every package into a folder, as a release does: each asks for those of ours that it needs by their files there.
 *
 * @throws when a package is not built
 */
export async function packPackages(destination: string): Promise<void> {
  for (const folder of packageFolders) {
    if (!existsSync(join(root, 'packages', folder, 'dist/index.js')))
      throw new Error(`packages/${folder} is not built; run npm run build`);
  }
  const script = join(root, 'scripts/tarballs.mjs');
  await runCommand(process.execPath, [script, '--out', destination, '--base', `file:${destination}`], root);
}

/** Standard output of a command; its whole output in the error when it fails. */
export async function runCommand(command: string, args: readonly string[], cwd: string): Promise<string> {
  const { stdout } = await promisify(execFile)(command, [...args], {
    cwd,
    env: ownEnvironment(),
    maxBuffer: 1 << 26,
  }).catch((error: Error & { stdout?: string; stderr?: string }) => {
    throw new Error(`${command} ${args[0]}: ${error.message}\n${error.stdout}\n${error.stderr}`);
  });
  return stdout;
}

/** npm tells what it runs of this repository and its workspaces; a project elsewhere is on its own. */
export function ownEnvironment(): NodeJS.ProcessEnv {
  const ours = /^npm_(package_|lifecycle_|config_(local_prefix|workspace|include_workspace_root))/i;
  return Object.fromEntries(Object.entries(process.env).filter(([key]) => !ours.test(key)));
}
