import { type Choices, isModel, isModule } from './choices';
import { packageManifest, TSCONFIG } from './templates/package';
import { policyModule } from './templates/policy';
import { rewardModule } from './templates/reward';
import { runFile } from './templates/run-file';

/** Contents by path. */
export type ProjectFiles = Readonly<Record<string, string>>;

export interface ProjectOptions {
  /** Where editors find the schema of run files; the installed command's by default. */
  readonly schema?: string;
  /** Adds package.json, tsconfig.json and .gitignore of a folder of its own, under this name. */
  readonly packageName?: string;
  /** Of the packages that package.json asks for. */
  readonly version?: string;
}

const PROMPTS = [
  'a red apple on a table',
  'a lighthouse at night',
  'two cats on a sofa',
  'a bicycle leaning against a wall',
  'a bowl of oranges',
  'a small boat on a lake',
  'a castle in the fog',
  'a green parrot',
];

/** The files of a project, by their paths in it. */
export function projectFiles(choices: Choices, options: ProjectOptions = {}): ProjectFiles {
  const { schema = 'node_modules/flow-grpo/dist/run.schema.json', packageName, version = '0.0.0' } = options;
  const { setup, reward, prompts } = choices;
  const promptFile = promptFileOf(choices);
  return {
    'run.yaml': runFile(choices, schema),
    ...(setup === 'module' && { 'policy.ts': policyModule(prompts) }),
    ...(reward !== undefined && isModule(reward) && { [rewardFile(reward)]: rewardModule }),
    ...(promptFile !== undefined && promptContent(promptFile, setup === 'module' ? COLOURS : PROMPTS)),
    ...(packageName !== undefined && {
      'package.json': packageManifest(packageName, version, choices),
      'tsconfig.json': TSCONFIG,
      '.gitignore': 'node_modules/\nruns/\n',
    }),
  };
}

/** Files of a project that belong to the user: where they are there already, they stay. */
export function userFiles(choices: Choices): string[] {
  const { reward } = choices;
  const files = [
    promptFileOf(choices),
    reward !== undefined && isModule(reward) ? rewardFile(reward) : undefined,
  ];
  return files.filter((file) => file !== undefined);
}

const promptFileOf = ({ setup, prompts }: Choices) => prompts ?? (isModel(setup) ? 'prompts.txt' : undefined);
const rewardFile = (reward: string) => reward.replace(/^\.\//, '');

const COLOURS = ['red', 'green', 'blue', 'yellow', 'cyan', 'magenta', 'white', 'black'];

/** A file of prompts in the format that its name asks for; none in one that only programs write, or for a folder. */
function promptContent(file: string, prompts: readonly string[]): ProjectFiles {
  const lines: Readonly<Record<string, readonly string[]>> = {
    '.txt': prompts,
    '.jsonl': prompts.map((prompt) => JSON.stringify({ prompt })),
    '.csv': ['prompt', ...prompts],
    '.tsv': ['prompt', ...prompts],
  };
  const [ending = ''] = /\.\w+$/.exec(file) ?? [];
  return lines[ending] ? { [file]: `${lines[ending].join('\n')}\n` } : {};
}
