/** A process that measures: its lines are collected as they come, and it is stopped at its limit. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type Measurement, parseLine } from './reporting';

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Seconds. */
  readonly limit: number;
  /** Keeps its output to itself. */
  readonly quiet?: boolean;
  /** Called with the process once it is started. */
  readonly onStart?: (child: ChildProcess) => void;
  /** Called with each line that it writes to standard error. */
  readonly onErrorLine?: (line: string) => void;
  readonly onMeasurement: (measurement: Measurement) => void;
}

/** Runs a command; resolves with why it failed, or undefined. Its output is passed on. */
export async function measureIn(
  command: string,
  args: readonly string[],
  { env = {}, limit, quiet = false, onStart, onErrorLine, onMeasurement }: ChildOptions,
): Promise<string | undefined> {
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onStart?.(child);
  let stopped = false;
  const timer = setTimeout(() => {
    stopped = true;
    child.kill('SIGKILL');
  }, limit * 1000);
  let lastError = '';
  const read = async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      if (!quiet) console.log(line);
      const measurement = parseLine(line);
      if (measurement) onMeasurement(measurement);
    }
  };
  const complain = async () => {
    for await (const line of createInterface({ input: child.stderr })) {
      console.error(line);
      onErrorLine?.(line);
      if (/error/i.test(line)) lastError = line.trim();
    }
  };
  const ended = new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => {
      if (stopped) resolve(`stopped after ${limit} s`);
      else resolve(code === 0 ? undefined : `ended with ${signal ?? `status ${code}`}. ${lastError}`.trim());
    });
  });
  const [reason] = await Promise.all([ended, read(), complain()]);
  clearTimeout(timer);
  return reason;
}
