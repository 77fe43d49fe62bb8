/** The flow-grpo-score command. */
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import manifest from '../../package.json' with { type: 'json' };
import { BACKEND_HELP } from '../backend';
import { plainText } from '../plain-text';
import { REWARDS } from '../registry';
import { shapeOf } from '../registry/find';
import { scoreCommand } from './score-command';
import { serveCommand } from './serve-command';
import { InterruptedError, UsageError } from './usage-error';

const collect = (value: string, previous: string[]) => [...previous, value];

const whole = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
};

/** Options of what scores: the same for a folder and for a server. */
function addRewardOptions(command: Command): Command {
  return command
    .requiredOption(
      '-r, --reward <name[=weight]>',
      'a reward, or the path of a module; several are added up',
      collect,
      [],
    )
    .option('-s, --set <reward.option=value>', 'an option, e.g. pickscore.model=./PickScore', collect, [])
    .option('--backend <name>', BACKEND_HELP, 'xla')
    .option('--device <cpu|cuda|cuda:N>', 'device of the XLA backend; a GPU where there is one by default');
}

function program(): Command {
  const root = new Command('flow-grpo-score')
    .description('Scores a folder of images, or serves a reward to trainers.')
    .version(manifest.version, '-V, --version', 'print the version')
    .showHelpAfterError('(--help lists the options)')
    .exitOverride();
  const rewards = Object.entries(REWARDS).map(([name, definition]) => {
    const keys = Object.keys(shapeOf(definition)).map((key) => `${name}.${key}`);
    return `  ${name}: ${definition.summary}${
      keys.length > 0
        ? `
    options: ${keys.join(', ')}`
        : ''
    }`;
  });
  const help = `\nRewards:\n${rewards.join('\n')}\n  ./my-reward.mjs: a module of your own; its default export scores images`;
  const folder = addRewardOptions(
    root.command('folder', { isDefault: true }).description('score a folder (the default)'),
  )
    .requiredOption(
      '-i, --images <folder>',
      'PNG, JPEG, WebP, GIF, TIFF or AVIF files, scored in natural order',
    )
    .option(
      '-p, --prompts <file>',
      '.txt, .jsonl, .csv, .tsv or .parquet; one prompt per image, or matched by --match',
    )
    .option('--prompt-column <name>', 'column or key of the prompt', 'prompt')
    .option('--match <column>', 'column or key with the image’s file name; file_name where there is one')
    .option('-o, --out <folder>', 'where scores.csv, scores.json and scores.html go', 'scores')
    .option('--batch-size <n>', 'images scored at a time', whole(1, 4096), 16)
    .addHelpText('after', help)
    .action(scoreCommand);
  addRewardOptions(root.command('serve').description('serve a reward; SIGTERM ends it gracefully'))
    .option('--port <n>', 'port; 0 picks a free one', whole(0, 65535), 18085)
    .option('--host <address>', 'address to listen on; there is no authentication', '127.0.0.1')
    .option('--max-queue <n>', 'requests that may wait', whole(0, 1_000_000), 64)
    .option('--allow-host <name>', 'another host name that clients use for the server', collect, [])
    .option('--exit-with-parent', 'end when standard input closes')
    .addHelpText('after', help)
    .action(serveCommand);
  return root.addHelpText('after', () => `\n${folder.helpInformation()}${help}`);
}

/** Runs the command; a mistake of the user ends it with only the message, and exit code 2; SIGINT ends it with 130. */
export async function main(argv: readonly string[] = process.argv): Promise<void> {
  try {
    await program().parseAsync(argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has printed what is wrong, or the help that was asked for.
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    const { message, stack } = error as Error;
    const shown = process.env.DEBUG ? (stack ?? message) : message;
    process.stderr.write(`flow-grpo-score: ${plainText(shown)}\n`);
    process.exitCode = error instanceof InterruptedError ? 130 : error instanceof UsageError ? 2 : 1;
  }
}
