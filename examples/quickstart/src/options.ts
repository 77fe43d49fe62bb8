/** The quickstart's command line. */
import { algorithms } from '@flow-grpo/grpo-trainer/algorithms';
import { BACKENDS } from '@flow-grpo/rewards/backend';
import { REWARDS } from '@flow-grpo/rewards/registry';
import { Command, InvalidArgumentError } from 'commander';
import { ASSETS } from './small-model';

/** Rewards under names of their own, besides those that packages/rewards knows. */
export const OWN_REWARDS = ['shapes', 'strict', 'jpeg', 'ocr'] as const;

export interface QuickstartOptions {
  /** Minutes of training; evaluations and compilation come on top. By default what the backend is worth. */
  minutes?: number;
  /** Training images after which the run ends even if minutes are left. */
  images?: number;
  reward: string;
  /** Options of the reward, such as the folder of its model. */
  rewardOption: Record<string, string | number>;
  /** XLA by default, or WebAssembly where XLA has no plugin. */
  backend?: (typeof BACKENDS)[number];
  /** Devices that share the work; XLA makes as many virtual ones of a CPU. */
  devices: number;
  seed: number;
  /** Images of held-out prompts in the evaluations before and after; fewer where nothing is compiled. */
  evalPrompts?: number;
  /** The algorithm's by default. */
  learningRate?: number;
  /** What it is trained with. */
  algorithm: string;
  /** Further options of the trainer as `key.path=value`, applied last. */
  set: string[];
  /** Parts or globs of the weights that train. */
  train: string[];
  /** Training images between evaluations on the way, whose numbers go to `curve.json`; none without. */
  curve?: number;
  /** Folder of the model that is tuned, as `pretrain` writes it. */
  model: string;
  /** Folder for everything the run writes. */
  out: string;
}

type Given = Omit<QuickstartOptions, 'train'> & Partial<Pick<QuickstartOptions, 'train'>>;

/** Reads the command line; ends the process with a message when it is wrong. */
export function readOptions(args: readonly string[]): QuickstartOptions {
  const given = new Command('quickstart')
    .description(
      'Tunes a small Show-o2 on coloured shapes by reinforcement learning and reports what it learned',
    )
    .option(
      '--minutes <n>',
      'minutes of training (default: 8 on a CPU, 1 on a GPU; 15 in all without XLA)',
      positive,
    )
    .option('--images <n>', 'end after so many training images, if that is sooner', positive)
    .option(
      '--reward <name>',
      `${OWN_REWARDS.join(', ')}, or another one of packages/rewards, such as pickscore`,
      rewardName,
      'shapes',
    )
    .option('--reward-option <key=value>', 'option of the reward; may be repeated', keyValue, {})
    .option(
      '--backend <name>',
      `one of ${BACKENDS.join(', ')} (default: xla, or wasm without an XLA plugin)`,
      oneOf(BACKENDS),
    )
    .option('--devices <n>', 'devices that share the images of an epoch', whole(1), 1)
    .option('--seed <n>', 'determines all random numbers', whole(0), 0)
    .option(
      '--eval-prompts <n>',
      'images of held-out prompts, before and after (default: 480, or 24 without XLA)',
      whole(1),
    )
    .option(
      '--algorithm <name>',
      `one of ${Object.keys(algorithms).join(', ')}`,
      oneOf(Object.keys(algorithms)),
      'nft',
    )
    .option('--learning-rate <n>', "of AdamW (default: the algorithm's)", positive)
    .option(
      '-s, --set <key=value>',
      'any option of the trainer, such as grpo.beta=0.1; may be repeated',
      several,
      [],
    )
    .option(
      '--train <names>',
      'parts or globs of the weights that train; may be repeated (default: all)',
      several,
    )
    .option('--curve <n>', 'evaluate after every so many training images too', positive)
    .option('--model <folder>', 'the model that is tuned, as npm run pretrain writes it', ASSETS)
    .option('--out <folder>', 'where the report, pictures and the tuned model go', 'runs/quickstart')
    .parse([...args], { from: 'user' })
    .opts<Given>();
  return { ...given, train: given.train ?? ['**'] };
}

function rewardName(value: string): string {
  const names = [...new Set([...OWN_REWARDS, ...Object.keys(REWARDS)])];
  return oneOf(names)(value);
}

const several = (value: string, others: readonly string[] = []): string[] => [...others, value];

function oneOf<T extends string>(names: readonly T[]) {
  return (value: string): T => {
    const found = names.find((name) => name === value);
    if (found === undefined) throw new InvalidArgumentError(`choose one of ${names.join(', ')}.`);
    return found;
  };
}

function keyValue(text: string, others: Record<string, string | number>): Record<string, string | number> {
  const [key, ...rest] = text.split('=');
  if (!key || rest.length === 0) throw new InvalidArgumentError('give key=value.');
  const value = rest.join('=');
  return { ...others, [key]: value !== '' && Number.isFinite(Number(value)) ? Number(value) : value };
}

function positive(value: string): number {
  const number = Number(value);
  if (!(number > 0 && Number.isFinite(number))) throw new InvalidArgumentError('give a positive number.');
  return number;
}

function whole(low: number) {
  return (value: string): number => {
    const number = Number(value);
    if (value.trim() === '' || !Number.isInteger(number) || number < low) {
      throw new InvalidArgumentError(`give a whole number from ${low}.`);
    }
    return number;
  };
}
