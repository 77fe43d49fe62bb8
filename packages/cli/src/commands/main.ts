/** The flow-grpo command. */

import { BACKEND_HELP } from '@flow-grpo/rewards/backend';
import { Argument, Command, InvalidArgumentError } from 'commander';
import manifest from '../../package.json' with { type: 'json' };
import { type RunReportOptions, writeRunReport } from '../report/run-report';
import { checkRunFolder } from '../run/output-folder';
import { runFileJsonSchema } from '../run-file/schema';
import { compareCommand } from './compare';
import { completionScript, SHELLS } from './completion';
import { doctorCommand } from './doctor';
import { embedCommand } from './embed';
import { evaluateCommand } from './evaluate';
import { reportFailure } from './failure';
import { addInitCommand } from './init';
import { type InspectCommandOptions, inspectCommand } from './inspect';
import { pretrainCommand } from './pretrain';
import { addPlaceOptions, addSharedOptions, collectValues } from './shared';
import { trainCommand } from './train';
import { uiCommand } from './ui';
import { addVerifyCommand } from './verify';

const EXIT_CODES = `
Exit codes: 0 finished; 1 diverged, hacked its reward, or failed; 2 wrong usage or configuration; 130 interrupted, with a checkpoint.
The variable DEBUG=1 adds stacks to error messages.`;

interface ReportCommandOptions extends RunReportOptions {
  readonly json?: boolean;
}

const repeated = (value: string, before: readonly string[]) => [...before, value];

function portNumber(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new InvalidArgumentError('give a whole number from 0 to 65535.');
}

/** The command with all its subcommands. */
export function program(): Command {
  const root = new Command('flow-grpo')
    .description('Reinforcement learning for flow-matching models')
    .version(manifest.version, '-V, --version', 'print the version')
    .addHelpText('after', EXIT_CODES)
    .showHelpAfterError('(--help lists commands and options)')
    .exitOverride();
  const command = (name: string, description: string) => root.command(name).description(description);
  const checkpoint = (target: Command) =>
    target
      .option('--checkpoint <path>', "a checkpoint's folder; the untrained model without it")
      .option('--adapter <folder>', "low-rank adapters on the model, in PEFT's layout");

  const train = command('train', 'train a policy; resumes from the newest checkpoint in the folder')
    .option('--resume <auto|path>', 'checkpoint to continue from', 'auto')
    .option('--no-resume', 'start anew')
    .option(
      '--allow-changed <name>',
      'what may differ from the run that is resumed, e.g. grpo.clipRange or setup.reward; may be repeated',
      repeated,
      [],
    )
    .option('--take-over', "take the folder from a run that has it; that run's checkpoints end then")
    .option('--dry-run', 'print what would run and check that everything is there, without loading a model')
    .option('--hosts <n>', 'with --dry-run: memory, network and scaling on so many machines like this one')
    .option('--bandwidth <GB/s>', 'with --hosts: what a machine sends to the others', '25')
    .option('--no-compile', 'with --hosts: calculate, without compiling the programs for all devices')
    .option('--ui', 'serve a page that follows the run')
    .option('--ui-port <port>', 'port of the page; 0 is any free one', '0')
    .option('--ui-host <host>', 'address it listens at; 0.0.0.0 for other machines', '127.0.0.1')
    .option(
      '--ui-allow-host <name>',
      'further name by which it may be asked for; may be repeated',
      repeated,
      [],
    )
    .option('--profile', 'profile some epochs: a trace, and a table of where the time goes')
    .option('--profile-epochs <n>', 'how many, after the first one', '3');
  addPlaceOptions(addSharedOptions(train)).action(trainCommand);
  addSharedOptions(checkpoint(command('eval', 'score the evaluation prompts at noise level 0'))).action(
    (file, options) => evaluateCommand(file, options, false),
  );
  addSharedOptions(checkpoint(command('sample', 'evaluate, and save a grid of the images'))).action(
    (file, options) => evaluateCommand(file, options, true),
  );
  addSharedOptions(
    command('embed', "write the states of a run's prompts, to train without the text encoder (z-image)"),
  )
    .option('--to <file>', 'NAME.safetensors; setup.promptEmbeddings by default')
    .action(embedCommand);
  addSharedOptions(command('pretrain', 'pre-train by flow matching; resumes'))
    .option('--take-over', 'take the folder from a run that has it')
    .action(pretrainCommand);
  command('ui', 'serve the page of runs, finished or under way')
    .argument('<folders...>', 'folders of runs; several are laid over each other')
    .option('--port <port>', 'port; 0 is any free one', portNumber, 0)
    .option('--host <host>', 'address it listens at; 0.0.0.0 for other machines', '127.0.0.1')
    .option('--allow-host <name>', 'further name by which it may be asked for; may be repeated', repeated, [])
    .action(uiCommand);
  command('report', 'write report.html, the page of a run as files')
    .argument('<folder>', "a run's folder")
    .argument('[others...]', 'folders of runs to lay over it')
    .option('-o, --out <folder>', "write there, with copies of the images, rather than into the run's folder")
    .option('--single-file', 'put everything into one file, with 200 images at most')
    .option('--json', 'print {"report": …} as JSON')
    .action(async (folder: string, others: string[], { json, ...options }: ReportCommandOptions) => {
      for (const each of [folder, ...others]) await checkRunFolder(each);
      const report = await writeRunReport(folder, { ...options, others });
      console.log(json ? JSON.stringify({ report }) : report);
    });
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
  addPlaceOptions(command('doctor', 'check that this machine can run it'))
    .option('--distributed', 'check what several processes need; start it in each of them')
    .option('--backend <name>', 'backend to check', 'xla')
    .option('--json', 'print what was found as JSON')
    .action(doctorCommand);
  addInitCommand(root);
  addVerifyCommand(root);
  command('completion', 'print a script that completes this command in a shell')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText('after', COMPLETION_HELP)
    .action((shell) => console.log(completionScript(root, shell)));
  return root;
}

const COMPLETION_HELP = `
bash: source <(flow-grpo completion bash), in ~/.bashrc
zsh:  flow-grpo completion zsh > "\${fpath[1]}/_flow-grpo"
fish: flow-grpo completion fish > ~/.config/fish/completions/flow-grpo.fish`;

/** Runs the command; what goes wrong ends it with a message and the exit code. */
export async function main(argv: readonly string[] = process.argv): Promise<void> {
  try {
    await program().parseAsync(argv);
  } catch (error) {
    reportFailure(error);
  }
}
