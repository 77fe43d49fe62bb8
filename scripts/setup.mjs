/**
 * Everything a fresh clone needs, and nothing when it is there already: npm packages, built packages and the
 * PJRT CPU plugin. Uses Node alone, since it runs before the first install.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { missingPackages } from './missing-packages.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

const [major] = process.versions.node.split('.').map(Number);
if (major < 20) fail(`Node 20 or later is needed; this is ${process.version}.`);

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
run('Looking for an XLA plugin', process.execPath, ['packages/pjrt/dist/cli.js', 'install', 'cpu']);

function run(title, command, args, { quiet = false } = {}) {
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
    fail(`${title} failed: ${command} ${args.join(' ')} ended with status ${status}.`);
  }
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
