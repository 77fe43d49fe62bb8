import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bundleProgram } from '@flow-grpo/test-support/bundle';
import { beforeAll, expect, it } from 'vitest';

/** The command as a process of its own. */
let command: string;
beforeAll(async () => {
  command = await bundleProgram(fileURLToPath(new URL('./cli.ts', import.meta.url)));
});

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const run = (program: string, args: readonly string[]): Promise<Ended> =>
  promisify(execFile)(program, [...args]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: Ended) => error,
  );

it.each<[string[], number, RegExp]>([
  [['--version'], 0, /^\d+\.\d+\.\d+\n$/],
  [['--help'], 0, /install[\s\S]*doctor[\s\S]*Exit codes: 0 done/],
  [[], 2, /Usage: pjrt/],
  [['instal'], 2, /unknown command 'instal'\s+\(Did you mean install\?\)/],
  [['install'], 2, /missing required argument 'plugin'/],
  [['install', 'rocm'], 2, /'rocm' is invalid .* Allowed choices are cpu, cuda13/],
  [['doctor', '--platform', 'tpu'], 2, /'tpu' is invalid\. Allowed choices are cpu, cuda/],
  [['doctor', '--plugin', '/no/lib.so'], 1, /\/no\/lib\.so/],
])('%j ends with %i', async (args, code, message) => {
  const ended = await run(process.execPath, [command, ...args]);
  const text = ended.stdout + ended.stderr;
  expect(text).toMatch(message);
  expect(ended.code).toBe(code);
  expect(text).not.toMatch(/\n\s+at .*:\d+/); // no stack
});

it('ends without a word when nobody reads on', async () => {
  // `true` reads nothing and ends; `pipefail` gives the command's own code.
  const script = `set -o pipefail; "$0" "$1" doctor --plugin /no/lib.so | true`;
  const { code, stderr } = await run('bash', ['-c', script, process.execPath, command]);
  expect(stderr).toBe('');
  expect([0, 1]).toContain(code);
});
