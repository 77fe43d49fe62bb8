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
  const needsPrompts = isModel(setup) || prompts !== undefined;
  return {
    'run.yaml': runFile(choices, schema),
    ...(setup === 'module' && { 'policy.ts': policyModule(prompts) }),
    ...(reward !== undefined && isModule(reward) && { [reward.replace(/^\.\//, '')]: rewardModule }),
    ...(needsPrompts && { [prompts ?? 'prompts.txt']: promptLines(setup === 'module' ? COLOURS : PROMPTS) }),
    ...(packageName !== undefined && {
      'package.json': packageManifest(packageName, version, choices),
      'tsconfig.json': TSCONFIG,
      '.gitignore': 'node_modules/\nruns/\n',
    }),
  };
}

const COLOURS = ['red', 'green', 'blue', 'yellow', 'cyan', 'magenta', 'white', 'black'];

const promptLines = (prompts: readonly string[]) => `${prompts.join('\n')}\n`;
