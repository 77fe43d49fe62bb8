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
Exit codes: 0 finished; 1 failed, diverged, or stopped for reward hacking; 2 wrong usage or configuration; 75 another process of the run was lost; 130 interrupted, with the epochs done saved.
DEBUG=1 adds stack traces to error messages.`;

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
      .option('--checkpoint <path>', 'folder of a checkpoint; the untrained model by default')
      .option('--adapter <folder>', "low-rank adapters on the model, in PEFT's layout")
      .option(
        '--allow-changed <name>',
        "allow this to differ from the checkpoint's run, e.g. training.learningRate or setup.module; may be repeated",
        repeated,
        [],
      );

  const train = command(
    'train',
    'train a policy; resumes automatically from the newest checkpoint in the folder',
  )
    .option('--resume <auto|path>', 'checkpoint to resume from', 'auto')
    .option('--no-resume', 'start over from the beginning')
    .option(
      '--allow-changed <name>',
      'allow this to differ from the resumed run, e.g. grpo.clipRange or setup.reward; may be repeated',
      repeated,
      [],
    )
    .option(
      '--take-over',
      'take over the folder from a run that is using it; that run then stops saving checkpoints',
    )
    .option('--dry-run', 'print the plan and check that everything is there, without loading a model')
    .option(
      '--hosts <n>',
      'with --dry-run: estimate memory, network and scaling on this many machines like this one',
    )
    .option('--bandwidth <GB/s>', 'with --hosts: network bandwidth per machine (default: 25)')
    .option('--no-compile', 'with --hosts: calculate, without compiling the programs for all devices')
    .option('--ui', 'serve a live page of the run')
    .option('--ui-port <port>', 'port of the page; 0 picks a free one', '0')
    .option('--ui-host <host>', 'address to listen on; 0.0.0.0 for other machines', '127.0.0.1')
    .option(
      '--ui-allow-host <name>',
      'another host name that the page answers to; may be repeated',
      repeated,
      [],
    )
    .option('--profile', 'profile some epochs: a trace, and a table of where time goes')
    .option('--profile-epochs <n>', 'number of epochs to profile, after the first', '3');
  addPlaceOptions(addSharedOptions(train)).action(trainCommand);
  addSharedOptions(checkpoint(command('eval', 'score the evaluation prompts at noise level 0'))).action(
    (file, options) => evaluateCommand(file, options, false),
  );
  addSharedOptions(checkpoint(command('sample', 'evaluate and save an image grid'))).action((file, options) =>
    evaluateCommand(file, options, true),
  );
  addSharedOptions(
    command(
      'embed',
      "precompute the text states of a run's prompts, to train without the text encoder (z-image)",
    ),
  )
    .option('--to <file>', 'output file, NAME.safetensors; setup.promptEmbeddings by default')
    .action(embedCommand);
  addSharedOptions(command('pretrain', 'pre-train by flow matching; resumes automatically'))
    .option('--take-over', 'take over the folder from a run that is using it')
    .option(
      '--allow-changed <name>',
      'allow this to differ from the resumed pre-training, e.g. steps or setup.module; may be repeated',
      repeated,
      [],
    )
    .action(pretrainCommand);
  command('ui', 'serve the page of runs, finished or running')
    .argument('<folders...>', 'folders of runs; several are overlaid')
    .option('--port <port>', 'port; 0 picks a free one', portNumber, 0)
    .option('--host <host>', 'address to listen on; 0.0.0.0 for other machines', '127.0.0.1')
    .option(
      '--allow-host <name>',
      'another host name that the page answers to; may be repeated',
      repeated,
      [],
    )
    .action(uiCommand);
  command('report', 'write report.html, the page of a run as static files')
    .argument('<folder>', "a run's folder")
    .argument('[others...]', 'folders of runs to overlay')
    .option('-o, --out <folder>', "write there, with copies of the images, instead of into the run's folder")
    .option('--single-file', 'put everything into one file, with at most 200 images')
    .option('--json', 'print {"report": …} as JSON')
    .action(async (folder: string, others: string[], { json, ...options }: ReportCommandOptions) => {
      for (const each of [folder, ...others]) await checkRunFolder(each);
      const report = await writeRunReport(folder, { ...options, others });
      console.log(json ? JSON.stringify({ report }) : report);
    });
  command('compare', 'train several settings on the same prompts and noise, and compare them')
    .argument('<files...>', 'run files; the others are compared with the first')
    .option('--seeds <list>', 'seeds to train each with', '0')
    .option('--measure <name>', 'reward, or a detail of the scorer', 'reward')
    .option(
      '--reach <list>',
      'report images and seconds until the measure reaches these levels, e.g. 0.6,0.65',
    )
    .option('--images <n>', 'training images per run, instead of its epochs')
    .option('-s, --set <key=value>', 'override an option of every file', collectValues, [])
    .option('-o, --output <folder>', 'where runs, page and table go', 'runs/compare')
    .option('--backend <name>', BACKEND_HELP, 'xla')
    .option('--json', 'print the comparison as one line of JSON; messages go to standard error')
    .action(compareCommand);
  command('inspect', "check a run's metrics for signs of reward hacking; exits with 1 if there are any")
    .argument('<folder>', "a run's folder")
    .option('--window <epochs>', 'number of first epochs, and of latest epochs, whose means are compared')
    .option('--tolerance <factor>', 'multiplies how far image statistics may drift')
    .option('--json', 'print {"ok": …, "problems": …} as JSON')
    .action(async (folder: string, options: InspectCommandOptions) => {
      if (await inspectCommand(folder, options)) process.exitCode = 1;
    });
  command('schema', 'print the JSON Schema of configuration files').action(() =>
    console.log(JSON.stringify(runFileJsonSchema(), null, 2)),
  );
  addPlaceOptions(command('doctor', 'check that this machine can train'))
    .option('--distributed', 'check what several processes need; run it in each of them')
    .option('--backend <name>', 'backend to check', 'xla')
    .option('--json', 'print what was found as JSON')
    .action(doctorCommand);
  addInitCommand(root);
  addVerifyCommand(root);
  command('completion', 'print a completion script for a shell')
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
