/** Programs beside this one in the bundle, and the `flow-grpo` command among them as users start it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface CommandEnd {
  /** Exit status, or the signal that ended it. */
  readonly status: number | NodeJS.Signals | null;
  readonly output: string;
  readonly errors: string;
  /** From its start to its end. */
  readonly seconds: number;
}

/** The file of another program of the bundle. */
export function programBeside(name: string): string {
  const program = join(dirname(process.argv[1]!), name);
  if (!existsSync(program)) throw new Error(`${program} is missing: node benchmarks/bundle.mjs makes it`);
  return program;
}

/** Starts the command; `onErrors` is called with what it says on standard error as it comes. */
export async function runCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  onErrors?: (text: string, child: ChildProcess) => void,
): Promise<CommandEnd> {
  const program = programBeside('flow-grpo.mjs');
  const started = performance.now();
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [output, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
    process.stderr.write(text);
    onErrors?.(text, child);
  });
  const status = await new Promise<CommandEnd['status']>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
  return { status, output, errors, seconds: (performance.now() - started) / 1000 };
}
