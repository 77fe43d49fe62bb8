/** flow-grpo verify */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyMismatchError } from '@flow-grpo/checkpoint-io';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { BACKEND_HELP } from '@flow-grpo/rewards/backend';
import { makeReward } from '@flow-grpo/rewards/registry';
import { Showo2, type Showo2Parts } from '@flow-grpo/showo2-model';
import { loadShowo2 } from '@flow-grpo/showo2-model/node';
import * as tf from '@tensorflow/tfjs-core';
import type { Command } from 'commander';
import { progressLine } from '../logging/progress-line';
import { imageGrid } from '../report/image-grid';
import { textTable } from '../run/start-table';
import { downloadMessages } from '../setup/sources';
import type { Comparison } from '../verify/comparison';
import { readReference } from '../verify/reference';
import { compareReward, REWARD_TENSORS } from '../verify/reward';
import { compareShowo2, SHOWO2_TENSORS } from '../verify/showo2';
import { EXIT } from './failure';
import { useBackend } from './shared';

export interface VerifyCommandOptions {
  readonly reward?: string;
  readonly reference?: string;
  readonly config?: string;
  readonly tokenizer?: string;
  readonly vae?: string;
  readonly dtype: string;
  readonly output: string;
  readonly steps: string;
  readonly backend: string;
  readonly json?: boolean;
}

export function addVerifyCommand(root: Command): void {
  root
    .command('verify')
    .description('check a checkpoint: its keys, four images, and the numbers of the published code')
    .argument('<model>', 'folder or hub id of a Show-o2, or of the model of --reward')
    .option('--reward <name>', 'the checkpoint is the model of this reward, such as pickscore')
    .option('--reference <file>', 'numbers that reference/showo2.py or reference/reward.py wrote')
    .option('--config <file>', "Show-o2's configuration; the checkpoint's own by default")
    .option('--tokenizer <place>', "folder or hub id of the tokenizer; the checkpoint's folder by default")
    .option('--vae <place>', "Wan 2.1's VAE; in the checkpoint's folder by default")
    .option('--dtype <float32|bfloat16>', 'how weights are stored', 'float32')
    .option('--steps <n>', 'denoising steps of the four images', '49')
    .option('-o, --output <folder>', 'where the images go', 'runs/verify')
    .option('--backend <xla|tensorflow|wasm|cpu>', BACKEND_HELP, 'xla')
    .option('--json', 'print what was compared as JSON')
    .action(verifyCommand);
}

const PROMPTS = [
  'a red apple on a wooden table',
  'a lighthouse on a cliff at sunset',
  'two cats sleeping on a sofa',
  'the word OPEN on a shop sign',
];

/** Prints one line per check; the exit code is 1 when one fails. */
export async function verifyCommand(model: string, options: VerifyCommandOptions): Promise<void> {
  const { dtype } = options;
  if (dtype !== 'float32' && dtype !== 'bfloat16') {
    throw new ConfigError(`--dtype ${dtype}: give float32 or bfloat16`);
  }
  const steps = Number(options.steps);
  if (!Number.isInteger(steps) || steps < 1) {
    throw new ConfigError(`--steps ${options.steps}: give a whole number of at least 1`);
  }
  await useBackend(options.backend);
  const checks = options.reward
    ? await verifyReward(model, options.reward, dtype, options)
    : await verifyShowo2(model, dtype, steps, options);
  const failed = checks.filter(({ agrees }) => !agrees);
  if (options.json) console.log(JSON.stringify({ ok: failed.length === 0, checks }));
  else
    console.log(
      textTable(checks.map(({ what, agrees, detail }) => [what, `${agrees ? 'ok' : 'FAILED'}: ${detail}`])),
    );
  if (options.reference === undefined) {
    console.error(
      'Numbers were not compared; --reference FILE compares them (docs: Your first hour with the real Show-o2).',
    );
  }
  if (failed.length > 0) process.exitCode = EXIT.failed;
}

async function verifyShowo2(
  model: string,
  dtype: 'float32' | 'bfloat16',
  steps: number,
  options: VerifyCommandOptions,
): Promise<Comparison[]> {
  const { config, tokenizer, vae } = options;
  // Before gigabytes are loaded.
  const reference = options.reference
    ? await readReference(options.reference, SHOWO2_TENSORS, 'showo2.py')
    : undefined;
  const line = progressLine();
  let parts: Showo2Parts;
  try {
    parts = await loadShowo2(model, {
      dtype,
      ...(config && { config }),
      ...(tokenizer && { tokenizer }),
      ...(vae && { vae }),
      onDownload: downloadMessages(line.note),
      onProgress: ({ part, loadedBytes, totalBytes }) =>
        line.show(`loading the ${part}`, loadedBytes / totalBytes),
    });
  } catch (error) {
    if (!(error instanceof KeyMismatchError))
      throw new ConfigError((error as Error).message, { cause: error });
    return [{ what: 'keys', agrees: false, detail: error.message }];
  } finally {
    line.end();
  }
  const count = Object.keys(parts.params).length + Object.keys(parts.vae.params).length;
  const checks: Comparison[] = [
    {
      what: 'keys',
      agrees: true,
      detail: `all ${count} tensors are present with the right shapes, and no others`,
    },
  ];
  if (reference) checks.push(...(await compareShowo2(parts, reference, dtype)));
  checks.push(await drawFour(parts, steps, options.output));
  tf.dispose([parts.params, parts.vae.params, reference?.tensors ?? {}]);
  return checks;
}

/** Writes four images as a grid, and checks that they are pictures: finite, and not of one colour. */
async function drawFour(parts: Showo2Parts, steps: number, output: string): Promise<Comparison> {
  const line = progressLine();
  const images = await new Showo2(parts).generate(PROMPTS, {
    seed: 1,
    steps,
    onStep: ({ step, steps: all }) => line.show(`drawing, step ${step}/${all}`, step / all),
  });
  line.end();
  const [, height, width] = images.shape;
  const values = await images.data();
  images.dispose();
  const size = height * width * 3;
  const cells = PROMPTS.map((caption, i) => ({
    caption,
    images: [values.subarray(i * size, (i + 1) * size)],
  }));
  const flat = cells.filter(({ images: [pixels] }) => !isPicture(pixels!)).map(({ caption }) => caption);
  makeFolder(output);
  const file = join(output, 'verify.png');
  await writeFile(file, await imageGrid(cells, { side: width, height }));
  const detail =
    flat.length === 0
      ? `${file}: check that each matches its prompt`
      : `${file}: not a picture for ${flat.join('; ')}`;
  return { what: 'images', agrees: flat.length === 0, detail };
}

function isPicture(pixels: ArrayLike<number>): boolean {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < pixels.length; i++) {
    if (!Number.isFinite(pixels[i]!)) return false;
    low = Math.min(low, pixels[i]!);
    high = Math.max(high, pixels[i]!);
  }
  return high - low > 1e-3;
}

async function verifyReward(
  model: string,
  name: string,
  dtype: 'float32' | 'bfloat16',
  options: VerifyCommandOptions,
): Promise<Comparison[]> {
  const reference = options.reference
    ? await readReference(options.reference, REWARD_TENSORS, 'reward.py')
    : undefined;
  const line = progressLine();
  try {
    const scorer = await makeReward(
      name,
      { model, dtype },
      { onDownload: downloadMessages(line.note, name) },
    );
    const loaded = { what: 'keys', agrees: true, detail: 'all tensors are present with the right shapes' };
    return reference ? [loaded, await compareReward(name, scorer, reference, dtype)] : [loaded];
  } catch (error) {
    const cause = (error as Error).cause;
    const mismatch = [error, cause].find((one) => one instanceof KeyMismatchError);
    if (mismatch) return [{ what: 'keys', agrees: false, detail: (mismatch as Error).message }];
    throw new ConfigError((error as Error).message, { cause: error });
  } finally {
    line.end();
    tf.dispose(reference?.tensors ?? {});
  }
}
