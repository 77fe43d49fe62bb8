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

export interface SoakOptions {
  /** Where both runs go. */
  readonly folder: string;
  readonly epochs: number;
  /** Epochs between kills, on average; more than the three between checkpoints, or it would get nowhere. */
  readonly killEvery: number;
  /** Share of the reward server's calls that fail; 0.05 by default. */
  readonly failing?: number;
  readonly onMessage?: (message: string) => void;
}

export interface SoakResult {
  readonly kills: number;
  /** Times the disk was full. */
  readonly full: number;
  readonly calls: number;
  readonly failedCalls: number;
  readonly secondsPerEpoch: number;
  /** Bytes of memory of the undisturbed run: the median of its second quarter, and of its last. */
  readonly memory: { readonly early: number; readonly late: number };
  /** What differs between the two runs in the end: nothing. */
  readonly differences: readonly string[];
}

/** What the server scores: how red the first pixel is. */
const reddish = functionScorer('reddish', async (images) =>
  (await rgbImages(images)).map(({ data }) => data[0]! / 255),
);

/** Bytes that the disk still takes when it fills: some epochs, not all. */
const DISK_BYTES = 30_000;

/**
 * Trains the toy recipe twice with the same seed. The second run's rewards fail now and then, it is killed every
 * `killEvery` epochs, and once its disk is full.
 *
 * @throws when a process ends otherwise than by a kill, a full disk, or with the run finished
 */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { folder, epochs, killEvery, failing = 0.05, onMessage = () => undefined } = options;
  const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
  const program = path('../../.bundle/soak/run.mjs'); // as deep as sources, from where the report finds its page
  await bundleSources(path('./run.testing.ts'), program);
  const server = await failingServer(reddish);
  const [whole, disturbed] = [join(folder, 'whole'), join(folder, 'disturbed')];
  const random = randomFrom(7);
  try {
    const start = performance.now();
    const first = await runProcess(program, [whole, server.url, `${epochs}`]);
    if (first.code !== 0) throw new Error(`the undisturbed run ended with ${first.code}:\n${first.tail}`);
    const secondsPerEpoch = (performance.now() - start) / 1000 / epochs;
    const memory = memoryOf(first.memory);
    onMessage(
      `undisturbed: ${epochs} epochs, ${secondsPerEpoch.toFixed(3)} s per epoch, ${mebibytes(memory.early)} → ${mebibytes(memory.late)}`,
    );

    server.failing = failing;
    let [kills, full, done] = [0, 0, false];
    for (let attempt = 0; !done; attempt++) {
      const killAfter = Math.round(killEvery * (0.6 + (0.8 * random(1000)) / 1000));
      const disk = kills >= 1 && full === 0 ? [`${DISK_BYTES}`] : [];
      const args = [disturbed, server.url, `${epochs}`, ...disk];
      const { code, tail } = await runProcess(program, args, disk.length > 0 ? undefined : killAfter);
      if (code === null) kills++;
      else if (disk.length > 0 && /ENOSPC|No space left/.test(tail)) full++;
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

/** Calls of the reward per epoch. */
const CALLS = 2;

export const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

async function runProcess(program: string, args: readonly string[], killAfter?: number) {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FLOW_GRPO_XLA_PLATFORM: 'cpu' },
  });
  const memory: number[] = [];
  let tail = '';
  let timer: NodeJS.Timeout | undefined;
  child.stdout.on('data', (chunk: Buffer) => {
    for (const [, bytes] of chunk.toString().matchAll(/memory (\d+)/g)) memory.push(Number(bytes));
    // Counted in epochs: by the clock a slow machine would be killed before it has saved anything, for ever.
    if (killAfter !== undefined && memory.length >= CALLS * killAfter)
      timer ??= setTimeout(() => child.kill('SIGKILL'), memory.length % 50); // in an epoch, or in a save
  });
  child.stderr.on('data', (chunk: Buffer) => {
    tail = (tail + chunk).slice(-4000);
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  return { code, memory, tail };
}

function memoryOf(samples: readonly number[]): { early: number; late: number } {
  const median = (from: number, to: number) =>
    samples.slice(Math.floor(from * samples.length), Math.ceil(to * samples.length)).sort((a, b) => a - b);
  const middle = (sorted: readonly number[]) => sorted[sorted.length >> 1] ?? 0;
  return { early: middle(median(0.25, 0.5)), late: middle(median(0.75, 1)) };
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
