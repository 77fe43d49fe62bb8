/**
 * LoRA on Z-Image with Flow-GRPO or one of its successors, on one GPU. The numbers are in z-image-lora.yaml:
 *
 *     node examples/z-image-lora/dist/main.js --dry-run   # what would run
 *     node examples/z-image-lora/dist/main.js             # runs it; the same command again resumes
 *     node examples/z-image-lora/dist/main.js --tiny      # all of it on a CPU, with small random weights
 */
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

const beside = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const list = (value: string, before: string[]) => [...before, value];

const command = new Command('z-image-lora')
  .argument('[file]', 'your run file', beside('z-image-lora.yaml'))
  .option('-s, --set <key=value>', 'override an option, e.g. setup.model=Tongyi-MAI/Z-Image', list, [])
  .option('-o, --output <folder>', "the run's folder")
  .option('--dry-run', 'print what would run, and check that everything is there')
  .option('--tiny', 'small random weights on a CPU')
  .option('--no-resume', 'start anew instead of continuing from the newest checkpoint')
  .option('--ui', 'serve the report while training')
  .parse();
const options = command.opts();
const line = progressLine();
const { signal, release } = abortOnSignals((name) => line.note(`${name}: saving, then ending`));
const context = { signal, onMessage: line.note };

try {
  const [file = ''] = command.processedArgs as string[];
  const read = (...overrides: string[]) => readRunFile(file, [...overrides, ...options.set]);
  const given = await read();
  const output: string = options.output ?? (options.tiny ? `${given.output}-tiny` : given.output);
  const tiny = options.tiny ? await tinyOverrides(given, `${output}/stand-ins`, beside('prompts')) : [];
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
    const { resume, ui } = options;
    const result = await trainRun(run, setup, { resume: resume && 'auto', ui, signal }, line);
    process.exitCode = exitCodeOf(result.reason) || undefined;
  }
} catch (error) {
  reportFailure(error);
} finally {
  line.end();
  release();
}
