/**
 * Flow-GRPO for Show-o2 with PickScore on four GPUs. The recipe's numbers are in pickscore.yaml:
 *
 *     node examples/pickscore-4gpu/dist/main.js --dry-run     # what would run
 *     node examples/pickscore-4gpu/dist/main.js               # runs it; again, it goes on where it stopped
 *     node examples/pickscore-4gpu/dist/main.js geneval.yaml  # another reward
 *     node examples/pickscore-4gpu/dist/main.js --tiny        # all of it on a CPU, with small random weights
 */
import { existsSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { abortOnSignals } from '@flow-grpo/grpo-trainer/node';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { deviceInfo } from '@flow-grpo/tfjs-jit';
import { Command } from 'commander';
import {
  exitCodeOf,
  makeSetup,
  planRun,
  progressLine,
  readRunFile,
  reportFailure,
  trainRun,
  useBackend,
} from 'flow-grpo';
import { tinyOverrides } from './tiny';

const RECIPES = ['pickscore.yaml', 'geneval.yaml', 'ocr.yaml'];
const recipe = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const list = (value: string, before: string[]) => [...before, value];

const command = new Command('pickscore-4gpu')
  .argument(
    '[file]',
    'a recipe (pickscore.yaml, geneval.yaml, ocr.yaml) or the path of your run file',
    'pickscore.yaml',
  )
  .option('-s, --set <key=value>', 'override an option, e.g. setup.model=./show-o2-1.5B', list, [])
  .option('-o, --output <folder>', "the run's folder")
  .option('--dry-run', 'print what would run, and check that everything is there')
  .option('--tiny', 'small random weights on four virtual CPU devices')
  .option('--no-resume', 'start anew instead of continuing from the newest checkpoint')
  .option('--ui', 'serve the report while training')
  .option('--profile', 'profile three epochs')
  .parse();
const options = command.opts();
const line = progressLine();
const { signal, release } = abortOnSignals((name) => line.note(`${name}: saving, then ending`));
const context = { signal, onMessage: line.note };

try {
  const [file = ''] = command.processedArgs as string[];
  const path = RECIPES.includes(file) ? recipe(file) : file;
  if (path !== file && existsSync(file) && realpathSync(file) !== realpathSync(path)) {
    line.note(`${file} is the recipe of that name; for the file in this folder give ./${file}`);
  }
  const read = (...overrides: string[]) => readRunFile(path, [...overrides, ...options.set]);
  const given = await read();
  const output: string = options.output ?? (options.tiny ? `${given.output}-tiny` : given.output);
  const tiny = options.tiny ? await tinyOverrides(given, `${output}/stand-ins`, recipe('prompts')) : [];
  const run = await read(`output=${output}`, ...tiny);
  if (options.dryRun) {
    const { text, missing } = await planRun(run, context);
    console.log(text);
    if (missing.length > 0) throw new ConfigError(`\nMissing:\n${missing.join('\n')}`);
  } else {
    if (options.tiny) configure({ platform: 'cpu' });
    await useBackend('xla', run.config.devices);
    if (!options.tiny && deviceInfo()[0]?.platform === 'cpu') {
      throw new ConfigError(
        'No GPU was found: npx pjrt doctor says what is there. On a CPU there is --tiny.',
      );
    }
    const setup = await makeSetup(run.setup, context); // looks for everything before it loads anything
    const { resume, ui, profile } = options;
    const result = await trainRun(run, setup, { resume: resume && 'auto', ui, profile, signal }, line);
    process.exitCode = exitCodeOf(result.reason) || undefined;
  }
} catch (error) {
  reportFailure(error);
} finally {
  line.end();
  release();
}
