/** flow-grpo init */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  askChoices,
  CancelledError,
  choiceProblem,
  projectFiles,
  SETUPS,
  shellWord,
  userFiles,
  writeProject,
} from '@flow-grpo/create';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import type { Command } from 'commander';
import { runFileJsonSchema } from '../run-file/schema';
import { InterruptedError } from './failure';

export interface InitCommandOptions {
  readonly setup?: string;
  readonly reward?: string;
  readonly prompts?: string;
  readonly force?: boolean;
}

const SCHEMA = 'run.schema.json';

export function addInitCommand(root: Command): void {
  const kinds = Object.entries(SETUPS).map(([kind, what]) => `${kind}: ${what}`);
  root
    .command('init')
    .description('write a commented run file and, for a module, a policy to start from')
    .argument('[folder]', 'where to', '.')
    .option(`--setup <${Object.keys(SETUPS).join('|')}>`, `what to train. ${kinds.join('; ')}`)
    .option(
      '--reward <name>',
      'for showo2 and z-image: a reward such as pickscore, or a module such as ./reward.ts',
    )
    .option('--prompts <file>', 'a file with one prompt per line; created if it does not exist')
    .option('--force', 'replace existing files')
    .action(initCommand);
}

/** Asks on a terminal for what is not given. */
export async function initCommand(given: string, options: InitCommandOptions): Promise<void> {
  const folder = given || '.';
  const interactive = Boolean(process.stdin.isTTY && process.stderr.isTTY);
  if (!interactive && options.setup === undefined) {
    throw new ConfigError(`--setup: give ${Object.keys(SETUPS).join(', ')}; init can only ask in a terminal`);
  }
  const { setup, reward, prompts, force = false } = options;
  const asked = askChoices({ setup, reward, prompts }, interactive ? undefined : async () => '');
  const choices = await asked.catch((error: Error) => {
    throw error instanceof CancelledError ? new InterruptedError(error.message) : error;
  });
  const problem = choiceProblem(choices);
  if (problem !== undefined) throw new ConfigError(problem);
  const files = projectFiles(choices, { schema: `./${SCHEMA}` });
  const write = writeProject(folder, files, { force, kept: userFiles(choices) });
  const written = await write.catch((error: NodeJS.ErrnoException) => {
    // Errors of the system have words of their own.
    throw error.code === undefined ? new ConfigError(error.message, { cause: error }) : error;
  });
  await writeFile(join(folder, SCHEMA), `${JSON.stringify(runFileJsonSchema(), null, 2)}\n`);
  console.log(['Written:', ...written, join(folder, SCHEMA)].join('\n  '));
  // Paths in the file are relative to where the command runs.
  const there = folder === '.' ? [] : [`cd ${shellWord(folder)}`];
  const next = [...there, 'npx flow-grpo train run.yaml --dry-run', 'npx flow-grpo train run.yaml'];
  console.log(['\nNext:', ...next].join('\n  '));
}
