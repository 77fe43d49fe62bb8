/** The quickstart's command line. */
import { Command, InvalidArgumentError } from 'commander';

export const REWARDS = ['shapes', 'strict'] as const;
export const BACKENDS = ['xla', 'wasm', 'cpu', 'tensorflow'] as const;

export interface QuickstartOptions {
  /** Minutes of training, evaluations and compilation left out. */
  minutes: number;
  reward: (typeof REWARDS)[number];
  backend: (typeof BACKENDS)[number];
  seed: number;
  /** Held-out prompts of the evaluations before and after. */
  evalPrompts: number;
  learningRate: number;
  /** Folder for everything the run writes. */
  out: string;
}

/** Reads the command line; ends the process with a message when it is wrong. */
export function readOptions(args: readonly string[]): QuickstartOptions {
  return new Command('quickstart')
    .description('Tunes a small Show-o2 on coloured shapes with Flow-GRPO and reports what it learnt')
    .option('--minutes <n>', 'minutes of training', positive, 6)
    .option('--reward <name>', `one of ${REWARDS.join(', ')}`, oneOf(REWARDS), 'shapes')
    .option('--backend <name>', `one of ${BACKENDS.join(', ')}`, oneOf(BACKENDS), 'xla')
    .option('--seed <n>', 'everything random is a function of it', whole, 0)
    .option('--eval-prompts <n>', 'held-out prompts of the evaluations before and after', whole, 240)
    .option('--learning-rate <n>', 'of AdamW', positive, 1e-4)
    .option('--out <folder>', 'where the report, pictures and the tuned model go', 'runs/quickstart')
    .parse([...args], { from: 'user' })
    .opts<QuickstartOptions>();
}

function oneOf<T extends string>(names: readonly T[]) {
  return (value: string): T => {
    const found = names.find((name) => name === value);
    if (found === undefined) throw new InvalidArgumentError(`choose one of ${names.join(', ')}.`);
    return found;
  };
}

function positive(value: string): number {
  const number = Number(value);
  if (!(number > 0 && Number.isFinite(number))) throw new InvalidArgumentError('give a positive number.');
  return number;
}

function whole(value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 0) throw new InvalidArgumentError('give a whole number from 0.');
  return number;
}
