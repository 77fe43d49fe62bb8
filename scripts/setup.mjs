/**
 * Everything a fresh clone needs, and nothing when it is there already: npm packages, built packages and the
 * PJRT CPU plugin. Uses Node alone, since it runs before the first install.
 *
 * With --plugin-optional a plugin that cannot be installed is no error: what runs then does without.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { missingPackages } from './missing-packages.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

const optional = process.argv.includes('--plugin-optional');
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19))
  fail(`Node 20.19 or later is needed; this is ${process.version}.`);

if (missingPackages(root).length > 0) {
  // `npm ci` takes the lock file to the letter, but removes what is there; an existing folder is brought up to date.
  const fresh = !existsSync(`${root}node_modules`);
  run('Installing npm packages', 'npm', fresh ? ['ci'] : ['install', '--no-save']);
}
run(
  'Building packages',
  'npx',
  ['nx', 'run-many', '-t', 'build', '--exclude=@flow-grpo/docs', '--outputStyle=static'],
  { quiet: true },
);
const plugin = ['packages/pjrt/dist/cli.js', 'install', 'cpu'];
run('Looking for an XLA plugin', process.execPath, plugin, { optional });

function run(title, command, args, { quiet = false, optional = false } = {}) {
  process.stdout.write(`${title} …\n`);
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    stdio: quiet ? 'pipe' : 'inherit',
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false' },
  });
  if (error) fail(`${title}: ${command} could not be started (${error.message}).`);
  if (status !== 0) {
    if (quiet) process.stderr.write(stdout + stderr);
    if (optional) return;
    fail(`${title} failed: ${command} ${args.join(' ')} ended with status ${status}.`);
  }
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
