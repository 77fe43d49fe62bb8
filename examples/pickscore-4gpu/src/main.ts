/**
 * Flow-GRPO for Show-o2 with PickScore on four GPUs. The recipe's numbers are in pickscore.yaml:
 *
 *     node examples/pickscore-4gpu/dist/main.js --dry-run     # what would run
 *     node examples/pickscore-4gpu/dist/main.js               # runs it; the same command again resumes
 *     node examples/pickscore-4gpu/dist/main.js geneval.yaml  # another reward
 *     node examples/pickscore-4gpu/dist/main.js --tiny        # all of it on a CPU, with small random weights
 */
import { existsSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { Command } from 'commander';
import { planOrTrain, readRunFile } from 'flow-grpo';
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
  .option('--no-resume', 'start again instead of resuming from the newest checkpoint')
  .option('--ui', 'serve the report while training')
  .option('--profile', 'profile three epochs')
  .parse();
const { dryRun, tiny, resume, ui, profile, output: chosen, set } = command.opts();

await planOrTrain(
  async (line) => {
    const [file = ''] = command.processedArgs as string[];
    const path = RECIPES.includes(file) ? recipe(file) : file;
    if (path !== file && existsSync(file) && realpathSync(file) !== realpathSync(path)) {
      line.note(`${file} is the recipe of that name; for the file in this folder give ./${file}`);
    }
    const read = (...overrides: string[]) => readRunFile(path, [...overrides, ...set]);
    const given = await read();
    const output: string = chosen ?? (tiny ? `${given.output}-tiny` : given.output);
    if (tiny) configure({ platform: 'cpu' });
    const standIns = tiny ? await tinyOverrides(given, `${output}/stand-ins`, recipe('prompts')) : [];
    return read(`output=${output}`, ...standIns);
  },
  {
    dryRun,
    resume: resume && 'auto',
    ui,
    profile,
    withoutGpu: tiny
      ? undefined
      : 'No GPU was found: npx pjrt doctor says what is there. On a CPU there is --tiny.',
  },
);
