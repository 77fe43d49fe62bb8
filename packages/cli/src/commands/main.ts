/** The flow-grpo command. */

import { ConfigError } from '@flow-grpo/grpo-trainer';
import { CheckpointStateError, isDiskFull } from '@flow-grpo/grpo-trainer/node';
import { BACKEND_HELP } from '@flow-grpo/rewards/backend';
import { Command, CommanderError } from 'commander';
import { writeRunReport } from '../report/run-report';
import { runFileJsonSchema } from '../run-file/schema';
import { compareCommand } from './compare';
import { doctorCommand } from './doctor';
import { evaluateCommand } from './evaluate';
import { type InspectCommandOptions, inspectCommand } from './inspect';
import { pretrainCommand } from './pretrain';
import { addSharedOptions, collectValues } from './shared';
import { trainCommand } from './train';

/** The command with all its subcommands. */
export function program(): Command {
  const root = new Command('flow-grpo')
    .description('Reinforcement learning for flow-matching models')
    .exitOverride();
  const command = (name: string, description: string) => root.command(name).description(description);
  const checkpoint = (target: Command) =>
    target.option('--checkpoint <path>', "a checkpoint's folder; the untrained model without it");

  const train = command('train', 'train; continues from the newest checkpoint in the folder')
    .option('--resume <auto|path>', 'checkpoint to continue from', 'auto')
    .option('--no-resume', 'start anew')
    .option(
      '--allow-changed <name>',
      'what may differ from the run that is resumed, e.g. grpo.clipRange or setup.reward; may be repeated',
      (name: string, before: readonly string[]) => [...before, name],
      [] as readonly string[],
    )
    .option('--take-over', "take the folder from a run that has it; that run's checkpoints end then")
    .option('--dry-run', 'print what would run and check that everything is there, without loading a model')
    .option('--ui', 'serve the report live while training')
    .option('--ui-port <port>', 'port of the live report; 0 is any free one', '0')
    .option('--ui-host <host>', 'address it listens at; 0.0.0.0 for other machines', '127.0.0.1')
    .option('--profile', 'profile some epochs: a trace, and a table of where the time goes')
    .option('--profile-epochs <n>', 'how many, after the first one', '3');
  addSharedOptions(train).action(trainCommand);
  addSharedOptions(checkpoint(command('eval', 'score the evaluation prompts at noise level 0'))).action(
    (file, options) => evaluateCommand(file, options, false),
  );
  addSharedOptions(checkpoint(command('sample', 'as eval, and draw a grid of the images'))).action(
    (file, options) => evaluateCommand(file, options, true),
  );
  addSharedOptions(command('pretrain', 'pre-train by flow matching; resumes')).action(pretrainCommand);
  command('report', 'write report.html')
    .argument('<folder>', "a run's folder")
    .action(async (folder: string) => console.log(await writeRunReport(folder)));
  command('compare', 'train settings on the same prompts and noise, and compare them')
    .argument('<files...>', 'run files; the first is what the others are compared with')
    .option('--seeds <list>', 'seeds that each is trained with', '0')
    .option('--measure <name>', 'reward, or a detail of the scorer', 'reward')
    .option('--reach <list>', 'levels of it, whose images and seconds are wanted, e.g. 0.6,0.65')
    .option('--images <n>', 'training images of each run, in place of its epochs')
    .option('-s, --set <key=value>', 'override an option of every file', collectValues, [])
    .option('-o, --output <folder>', 'where runs, page and table go', 'runs/compare')
    .option('--backend <name>', BACKEND_HELP, 'xla')
    .action(compareCommand);
  command('inspect', "look through a run's metrics for signs that its reward was hacked; status 1 if so")
    .argument('<folder>', "a run's folder")
    .option('--window <epochs>', 'epochs that the start, and the present, are means over')
    .option('--tolerance <factor>', 'factor on how far the statistics of images may drift')
    .action(async (folder: string, options: InspectCommandOptions) => {
      if (await inspectCommand(folder, options)) process.exitCode = 1;
    });
  command('schema', 'print the JSON Schema of configuration files').action(() =>
    console.log(JSON.stringify(runFileJsonSchema(), null, 2)),
  );
  command('doctor', 'check that this machine can run it')
    .option('--backend <name>', 'backend to check', 'xla')
    .action(doctorCommand);
  return root;
}

/** Runs the command; mistakes of the user end with their message alone and status 2. */
export async function main(argv: readonly string[] = process.argv): Promise<void> {
  try {
    await program().parseAsync(argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has printed what is wrong, or the help that was asked for.
      if (error.exitCode !== 0) process.exitCode = 2;
      return;
    }
    if (error instanceof ConfigError || error instanceof CheckpointStateError) {
      console.error(error.message);
      process.exitCode = 2;
    } else if (isDiskFull(error)) {
      console.error(
        `${error.message}: the disk is full. Checkpoints that are there are good: make room, and train again to go on.`,
      );
      process.exitCode = 1;
    } else throw error;
  }
}
