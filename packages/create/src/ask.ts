/** The questions of a new project, asked on a terminal. */
import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import { type Choices, isModel, SETUPS, type SetupKind } from './choices';

/** Asks one question; an empty answer is the default. */
export type Question = (text: string, byDefault: string) => Promise<string>;

/** What was given beforehand, and is not asked. */
export type Answers = { readonly [Name in keyof Choices]?: string | undefined };

/** Whoever was asked left instead of answering: Ctrl-C, Ctrl-D. */
export class CancelledError extends Error {
  override readonly name = 'CancelledError';
}

/** Questions on a terminal; `close` gives it back. */
export function terminalQuestions(
  input: Readable = process.stdin,
  output: Writable = process.stderr,
): { readonly ask: Question; close(): void } {
  const terminal = createInterface({ input, output });
  // A question whose terminal is closed is never answered.
  const left = new Promise<never>((_, reject) => {
    terminal.once('close', () => reject(new CancelledError('cancelled; nothing is written')));
  });
  left.catch(() => {});
  terminal.once('SIGINT', () => terminal.close());
  return {
    ask: async (text, byDefault) =>
      (await Promise.race([terminal.question(`${text} [${byDefault}] `), left])).trim(),
    close: () => terminal.close(),
  };
}

/**
 * Completes choices by asking for those that were not given.
 *
 * @param ask a terminal's by default
 * @throws {CancelledError} when the terminal is closed before all is answered
 */
export async function askChoices(given: Answers, ask?: Question): Promise<Choices> {
  const terminal = ask ? undefined : terminalQuestions();
  const question = ask ?? terminal!.ask;
  const answer = async (text: string, byDefault: string) => (await question(text, byDefault)) || byDefault;
  try {
    const setup = (given.setup ?? (await askSetup(answer))) as SetupKind;
    if (!isModel(setup)) return { ...given, setup };
    return {
      setup,
      reward: given.reward ?? (await answer('Reward: a name such as pickscore, or a module', 'pickscore')),
      prompts: given.prompts ?? (await answer('File of prompts, one per line', 'prompts.txt')),
    };
  } finally {
    terminal?.close();
  }
}

async function askSetup(answer: Question): Promise<string> {
  const kinds = Object.entries(SETUPS).map(([kind, what]) => `  ${kind}: ${what}`);
  const text = `What do you want to train?\n${kinds.join('\n')}\n`;
  for (let attempt = 0; ; attempt++) {
    const kind = await answer(text, 'module');
    if (Object.hasOwn(SETUPS, kind) || attempt === 2) return kind;
  }
}
