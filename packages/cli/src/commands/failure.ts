/** Turns whatever ended a command into a message and an exit code. */
import { ConfigError, type TrainResult } from '@flow-grpo/grpo-trainer';
import { CheckpointStateError, isDiskFull } from '@flow-grpo/grpo-trainer/node';
import { plainText } from '@flow-grpo/rewards/plain-text';
import { CommanderError } from 'commander';
import { thrownText } from '../setup/check-setup';

/** Exit codes; 130 is a shell's code for SIGINT. */
export const EXIT = { finished: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** The exit code of a run by the reason it ended with. */
export const exitCodeOf = (reason: TrainResult['reason']): number => EXIT_BY_REASON[reason];

const EXIT_BY_REASON: Readonly<Record<TrainResult['reason'], number>> = {
  finished: EXIT.finished,
  interrupted: EXIT.interrupted,
  diverged: EXIT.failed,
  hacked: EXIT.failed,
};

/** A command was interrupted before it had anything to save. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
}

/** What to print of an error, and how to end. */
export interface Failure {
  /** Empty if it has already been printed. */
  readonly message: string;
  readonly exitCode: number;
}

/** @param debug adds the stack trace; on by default if the variable DEBUG is set */
export function describeFailure(error: unknown, debug = Boolean(process.env.DEBUG)): Failure {
  if (error instanceof CommanderError) {
    // Commander has printed what is wrong, or the help that was asked for.
    return { message: '', exitCode: error.exitCode === 0 ? EXIT.finished : EXIT.usage };
  }
  const { text, exitCode, expected } = inWords(error);
  const stack = debug && error instanceof Error ? `\n${stacks(error)}` : '';
  const hint = expected || stack ? '' : '\nDEBUG=1 shows where it was thrown.';
  // An error may quote a server, a file or a prompt: nothing in it is for the terminal.
  return { message: plainText(`${text}${hint}${stack}`), exitCode };
}

/** Prints why a command failed, and sets the exit code of the process. */
export function reportFailure(error: unknown): void {
  const { message, exitCode } = describeFailure(error);
  if (message) console.error(message);
  process.exitCode = exitCode;
}

interface Words {
  readonly text: string;
  readonly exitCode: number;
  /** It says all there is to know. */
  readonly expected: boolean;
}

function inWords(error: unknown): Words {
  if (error instanceof ConfigError || error instanceof CheckpointStateError) {
    return { text: error.message, exitCode: EXIT.usage, expected: true };
  }
  if (error instanceof InterruptedError) {
    return { text: error.message, exitCode: EXIT.interrupted, expected: true };
  }
  if (isDiskFull(error)) {
    const text = `${(error as Error).message}: the disk is full. Existing checkpoints are intact: free some space and run the same command again to resume.`;
    return { text, exitCode: EXIT.failed, expected: true };
  }
  const system = systemError(error);
  if (system !== undefined) return { text: system, exitCode: EXIT.failed, expected: true };
  return { text: messagesOf(error), exitCode: EXIT.failed, expected: false };
}

/** Why the system refused, by its code. */
const SYSTEM: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'part of this path is a file, not a folder',
  EISDIR: 'this is a folder, not a file',
  ENAMETOOLONG: 'the name is too long for the file system; choose a shorter one',
  ELOOP: 'symbolic links form a loop',
  EEXIST: 'it already exists',
  EACCES: 'permission denied; choose another location, or change its permissions',
  EPERM: 'permission denied; choose another location, or change its permissions',
  EROFS: 'the file system is read-only; choose another location',
  EMFILE: 'too many files are open (ulimit -n)',
  EADDRINUSE: 'the port is in use; choose another',
  ECONNREFUSED: 'connection refused: nothing is listening there',
  ENOTFOUND: 'there is no such host, or no network',
  ETIMEDOUT: 'no answer in time',
};

/** The same of a folder that was to be created. */
const MKDIR: Readonly<Record<string, string>> = {
  // A folder may be there already; what is in the way is a file, or a link to nothing.
  EEXIST: 'this is a file, not a folder; choose another',
  ENOENT: 'no folder can be created here; choose another location',
};

/** An error of the operating system in words; undefined for any other. */
function systemError(error: unknown): string | undefined {
  const { code, syscall, path, address, port, message } = (error ?? {}) as NodeJS.ErrnoException & {
    address?: string;
    port?: number;
  };
  if (code === undefined || syscall === undefined || !Object.hasOwn(SYSTEM, code)) return undefined;
  const why = (syscall === 'mkdir' && MKDIR[code]) || SYSTEM[code];
  const place = path ?? (address === undefined ? undefined : [address, port].filter(Boolean).join(':'));
  return place === undefined ? `${message}: ${why}` : `${place}: ${why} (${code})`;
}

/** The messages of an error and its causes, each once. Anything may be thrown. */
function messagesOf(error: unknown): string {
  const lines: string[] = [];
  let each = error;
  for (let depth = 0; depth === 0 || (each !== undefined && each !== null && depth < 5); depth++) {
    const { name, message, cause } = (each instanceof Error ? each : {}) as Partial<Error>;
    const text = message || thrownText(each);
    // A name such as TypeError tells a programming error from a message that was written for people.
    const line = name && name !== 'Error' && depth === 0 ? `${name}: ${text}` : text;
    if (!lines.some((earlier) => earlier.includes(text))) lines.push(line);
    each = cause;
  }
  return lines.join('\n');
}

function stacks(error: Error): string {
  const { stack = '', cause } = error;
  return cause instanceof Error ? `${stack}\ncaused by ${stacks(cause)}` : stack;
}
