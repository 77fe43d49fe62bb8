/** A run that everything goes wrong for, beside one that nothing does. */
import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EpochMetrics } from '@flow-grpo/grpo-trainer';
import { functionScorer, rgbImages } from '@flow-grpo/rewards';
import { bundleSources } from '@flow-grpo/test-support/bundle';
import { randomFrom } from '@flow-grpo/test-support/fuzz';
import { readJsonLines } from '../logging/json-lines';
import { failingServer } from './failing-server.testing';
import { type Memory, type MemorySeries, memorySeries } from './memory.testing';
import { SOAK_RECIPES, type SoakRecipeName } from './recipes.testing';

export interface SoakOptions {
  readonly recipe: SoakRecipeName;
  /** Where both runs go. */
  readonly folder: string;
  readonly epochs: number;
  /** Epochs between kills, on average; more than the three between checkpoints, or it would get nowhere. */
  readonly killEvery: number;
  /** Share of the reward server's calls that fail; 0.05 by default. */
  readonly failing?: number;
  readonly onMessage?: (message: string) => void;
}

/** What a process of a soak is told. */
export interface SoakProcess {
  readonly file?: string;
  readonly overrides: readonly string[];
  /** Where the reward server is. */
  readonly url: string;
  /** The disk is full after so many bytes. */
  readonly diskBytes?: number;
}

export interface SoakResult {
  readonly kills: number;
  /** Times the disk was full. */
  readonly full: number;
  readonly calls: number;
  readonly failedCalls: number;
  readonly secondsPerEpoch: number;
  /** That of the undisturbed run. */
  readonly memory: MemorySeries;
  /** What differs between the two runs in the end: nothing. */
  readonly differences: readonly string[];
}

/** What the server scores: how red the first pixel is. */
const reddish = functionScorer('reddish', async (images) =>
  (await rgbImages(images)).map(({ data }) => data[0]! / 255),
);

/**
 * Trains a recipe twice with the same seed. The second run's rewards fail now and then, it is killed every `killEvery`
 * epochs, and once its disk is full.
 *
 * @throws when a process ends otherwise than by a kill, a full disk, or with the run finished
 */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { recipe, folder, epochs, killEvery, failing = 0.05, onMessage = () => undefined } = options;
  const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
  const program = path(`../../.bundle/soak/${recipe}.mjs`); // as deep as sources, from where the report finds its page
  await bundleSources(path('./run.testing.ts'), program);
  const { file, overrides, diskBytes } = await SOAK_RECIPES[recipe](join(folder, 'stand-ins'));
  const server = await failingServer(reddish);
  const [whole, disturbed] = [join(folder, 'whole'), join(folder, 'disturbed')];
  const start = (output: string, how: { diskBytes?: number; killAfter?: number | undefined } = {}) => {
    const { killAfter, ...rest } = how;
    const all = [...overrides, `output=${output}`, `epochs=${epochs}`];
    return runProcess(
      program,
      { ...(file && { file }), overrides: all, url: server.url, ...rest },
      killAfter,
    );
  };
  const random = randomFrom(7);
  try {
    const began = performance.now();
    const first = await start(whole);
    if (first.code !== 0) throw new Error(`the undisturbed run ended with ${first.code}:\n${first.tail}`);
    const secondsPerEpoch = (performance.now() - began) / 1000 / epochs;
    const memory = memorySeries(first.memory);
    onMessage(
      `${recipe}, undisturbed: ${epochs} epochs, ${secondsPerEpoch.toFixed(3)} s per epoch, ${memory.text}`,
    );

    server.failing = failing;
    let [kills, full, done] = [0, 0, false];
    for (let attempt = 0; !done; attempt++) {
      const fills = kills >= 1 && full === 0;
      const killAfter = Math.round(killEvery * (0.6 + (0.8 * random(1000)) / 1000));
      const { code, tail } = await start(disturbed, fills ? { diskBytes } : { killAfter });
      if (code === null) kills++;
      else if (fills && /ENOSPC|No space left/.test(tail)) full++;
      else if (code === 0) done = true;
      else throw new Error(`attempt ${attempt} ended with ${code}:\n${tail}`);
      const { length } = await readJsonLines(join(disturbed, 'metrics.jsonl'));
      onMessage(
        `attempt ${attempt}: ${code === null ? 'killed' : code === 0 ? 'finished' : 'disk full'} at epoch ${length}`,
      );
    }
    return {
      kills,
      full,
      calls: server.calls,
      failedCalls: server.failed,
      secondsPerEpoch,
      memory,
      differences: await differencesOf(whole, disturbed, epochs),
    };
  } finally {
    await server.close();
  }
}

async function runProcess(program: string, given: SoakProcess, killAfter?: number) {
  const child = spawn(process.execPath, ['--expose-gc', program, JSON.stringify(given)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const memory: Memory[] = [];
  let [epochs, rest, tail] = [0, '', ''];
  let timer: NodeJS.Timeout | undefined;
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith('epoch ')) epochs++;
      if (line.startsWith('memory ')) memory.push(JSON.parse(line.slice('memory '.length)));
    }
    // Counted in epochs: by the clock a slow machine would be killed before it has saved anything, for ever.
    if (killAfter !== undefined && epochs >= killAfter)
      timer ??= setTimeout(() => child.kill('SIGKILL'), (7 * epochs) % 50); // in an epoch, or in a save
  });
  child.stderr.on('data', (chunk: Buffer) => {
    tail = (tail + chunk).slice(-4000);
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  return { code, memory, tail };
}

/** Final weights, optimizer and averages to the bit, and the rows of both logs but for times. */
async function differencesOf(whole: string, disturbed: string, epochs: number): Promise<string[]> {
  const differences: string[] = [];
  const last = join('checkpoints', `epoch-${String(epochs).padStart(6, '0')}`);
  const names = (await readdir(join(whole, last))).filter((name) => name.endsWith('.safetensors'));
  const files = ['model.safetensors', ...names.map((name) => join(last, name))];
  for (const file of files) {
    const [a, b] = await Promise.all([whole, disturbed].map((run) => readFile(join(run, file))));
    if (!a!.equals(b!)) differences.push(file);
  }
  const rows = (run: string) => readJsonLines<EpochMetrics>(join(run, 'metrics.jsonl'));
  const [a, b] = [await rows(whole), await rows(disturbed)];
  const of = ({ epoch, reward, loss }: EpochMetrics) => JSON.stringify({ epoch, reward, loss });
  if (a.length !== epochs || b.length !== epochs)
    differences.push(`${a.length} and ${b.length} rows of metrics`);
  const at = a.findIndex((row, i) => !b[i] || of(row) !== of(b[i]));
  if (at >= 0) differences.push(`metrics of row ${at}: ${of(a[at]!)} and ${b[at] ? of(b[at]) : 'none'}`);
  return differences;
}
