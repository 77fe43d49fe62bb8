/**
 * LoRA on Z-Image with Flow-GRPO or one of its successors, on one GPU. The numbers are in z-image-lora.yaml:
 *
 *     node examples/z-image-lora/dist/main.js --dry-run   # what would run
 *     node examples/z-image-lora/dist/main.js             # runs it; the same command again resumes
 *     node examples/z-image-lora/dist/main.js --tiny      # all of it on a CPU, with small random weights
 */
import { fileURLToPath } from 'node:url';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { Command } from 'commander';
import { planOrTrain, readRunFile } from 'flow-grpo';
import { tinyOverrides } from './tiny';

const beside = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const list = (value: string, before: string[]) => [...before, value];

const command = new Command('z-image-lora')
  .argument('[file]', 'your run file', beside('z-image-lora.yaml'))
  .option('-s, --set <key=value>', 'override an option, e.g. setup.model=Tongyi-MAI/Z-Image', list, [])
  .option('-o, --output <folder>', "the run's folder")
  .option('--dry-run', 'print what would run, and check that everything is there')
  .option('--tiny', 'small random weights on a CPU')
  .option('--no-resume', 'start again instead of resuming from the newest checkpoint')
  .option('--ui', 'serve the report while training')
  .parse();
const { dryRun, tiny, resume, ui, output: chosen, set } = command.opts();

await planOrTrain(
  async () => {
    const [file = ''] = command.processedArgs as string[];
    const read = (...overrides: string[]) => readRunFile(file, [...overrides, ...set]);
    const given = await read();
    const output: string = chosen ?? (tiny ? `${given.output}-tiny` : given.output);
    if (tiny) configure({ platform: 'cpu' });
    const standIns = tiny ? await tinyOverrides(given, `${output}/stand-ins`, beside('prompts')) : [];
    return read(`output=${output}`, ...standIns);
  },
  {
    dryRun,
    resume: resume && 'auto',
    ui,
    withoutGpu: tiny
      ? undefined
      : 'No GPU was found: npx pjrt doctor says what is there. On a CPU there is --tiny.',
  },
);
