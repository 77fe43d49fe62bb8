/** npm create @flow-grpo: a new folder with a project that trains. */
import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import manifest from '../package.json' with { type: 'json' };
import { askChoices, CancelledError, type Question } from './ask';
import { choiceProblem, isModel, SETUPS } from './choices';
import { projectFiles, userFiles } from './project-files';
import { shellWord } from './shell-word';
import { writeProject } from './write-project';

const HELP = `npm create @flow-grpo [folder] -- [options]

Starts a project that fine-tunes a flow-matching image model. What is not given is asked.

  --setup <kind>     ${Object.entries(SETUPS)
    .map(([kind, what]) => `${kind}: ${what}`)
    .join('\n                     ')}
  --reward <name>    of showo2 and z-image: a reward such as pickscore, or a module such as ./reward.ts
  --prompts <file>   one prompt per line
  --force            replace existing files
  --help, --version`;

export interface Terminal {
  readonly interactive: boolean;
  readonly print: (text: string) => void;
  readonly complain: (text: string) => void;
  readonly ask?: Question;
}

const TERMINAL: Terminal = {
  interactive: Boolean(process.stdin.isTTY && process.stderr.isTTY),
  print: (text) => console.log(text),
  complain: (text) => console.error(text),
};

/** @returns the exit code: 0, 2 for wrong usage, 1 where the folder cannot be written, 130 when nobody answered */
export async function main(args: readonly string[], terminal: Terminal = TERMINAL): Promise<number> {
  try {
    return await create(args, terminal);
  } catch (error) {
    if (!(error instanceof CancelledError)) throw error;
    terminal.complain(error.message);
    return 130;
  }
}

async function create(args: readonly string[], terminal: Terminal): Promise<number> {
  const { print, complain } = terminal;
  const parsed = parse(args);
  if (typeof parsed === 'string') {
    complain(`${parsed}\n\n${HELP}`);
    return 2;
  }
  const { values, positionals } = parsed;
  if (values.help || values.version) {
    print(values.help ? HELP : manifest.version);
    return 0;
  }
  const [folder = 'my-flow-grpo'] = positionals;
  const given = { setup: values.setup, reward: values.reward, prompts: values.prompts };
  if (!terminal.interactive && given.setup === undefined) {
    complain(`--setup: give ${Object.keys(SETUPS).join(', ')}; questions can only be asked in a terminal`);
    return 2;
  }
  const choices = await askChoices(given, terminal.interactive ? terminal.ask : async () => '');
  const problem = choiceProblem(choices);
  if (problem !== undefined) {
    complain(problem);
    return 2;
  }
  try {
    const packageName =
      basename(resolve(folder))
        .toLowerCase()
        .replace(/[^a-z0-9._-]+/g, '-')
        .replace(/^[._-]+/, '')
        .slice(0, MAX_PACKAGE_NAME) || 'my-flow-grpo';
    const files = projectFiles(choices, { packageName, version: manifest.version });
    const written = await writeProject(folder, files, {
      force: values.force ?? false,
      kept: userFiles(choices),
    });
    print(
      `Written:\n  ${written.join('\n  ')}\n\nNext:\n  cd ${shellWord(folder)}\n  npm install\n  npm run install-xla${isModel(choices.setup) ? '   # for a GPU: npx pjrt install cuda13' : ''}\n  npm run train`,
    );
    return 0;
  } catch (error) {
    complain(inWords(error as NodeJS.ErrnoException));
    return 1;
  }
}

/** Why a folder cannot be written, by the system's code; other messages are meant for people. */
function inWords({ code = '', path, message }: NodeJS.ErrnoException): string {
  const why = WHY[code];
  return why === undefined ? message : `${path}: ${why}; choose another folder`;
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'no folder can be created there',
  EEXIST: 'this is a file, not a folder',
  ENOTDIR: 'part of this path is a file, not a folder',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENAMETOOLONG: 'the name is too long for the file system',
};

/** Characters that npm takes. */
const MAX_PACKAGE_NAME = 214;

function parse(args: readonly string[]) {
  try {
    const parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        setup: { type: 'string' },
        reward: { type: 'string' },
        prompts: { type: 'string' },
        force: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'V' },
      },
    });
    return parsed.positionals.length > 1 ? 'give one folder' : parsed;
  } catch (error) {
    return (error as Error).message;
  }
}
