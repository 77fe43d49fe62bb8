/** The quickstart's task on one device: images and seconds to a score, for each algorithm. */
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { CurvePoint } from '@flow-grpo/example-quickstart/results';
import { algorithms } from '@flow-grpo/grpo-trainer/algorithms';
import { programBeside } from '../command';
import { machineFacts, visibleGpus } from '../machine';
import { report } from '../reporting';
import { inTemporaryFolder } from '../temporary';
import type { Workload } from '../workload';

/** Environment variable with the algorithms to measure in place of all, separated by commas. */
const ALGORITHMS_VARIABLE = 'BENCH_ALGORITHMS';

interface Run {
  readonly algorithm: string;
  readonly seed: number;
  readonly images: number;
}

/** Every algorithm with several seeds, as processes side by side that share the GPUs; the long runs start first. */
export async function learning(workload: Workload): Promise<void> {
  const { seeds, images, longImages, long, names } = workload.learning;
  const all = process.env[ALGORITHMS_VARIABLE]?.split(',') ?? names ?? Object.keys(algorithms);
  const [first, then] = [
    all.filter((name) => long.includes(name)),
    all.filter((name) => !long.includes(name)),
  ];
  const each = (chosen: readonly string[], count: number) =>
    // By seed: the first one of an algorithm leaves the others its programs.
    seeds.flatMap((seed) => chosen.map((algorithm): Run => ({ algorithm, seed, images: count })));
  const runs = [...each(first, longImages), ...each(then, images)];
  const processes = Math.min(runs.length, Math.max(1, availableParallelism() - 2));
  const gpus = visibleGpus(Number(machineFacts().gpus ?? 0));
  await inTemporaryFolder(async (folder) => {
    const queue = [...runs];
    const done = new Map<string, Learnt[]>();
    /** Of each algorithm: settles when its first run has left its compiled programs on disk. */
    const compiled = new Map<string, Promise<void>>();
    const worker = async (_: unknown, i: number) => {
      const device: Record<string, string> =
        gpus.length > 1 ? { CUDA_VISIBLE_DEVICES: gpus[i % gpus.length]! } : {};
      for (let run = queue.shift(); run; run = queue.shift()) {
        const out = join(folder, `${run.algorithm}-${run.seed}`);
        await compiled.get(run.algorithm);
        const ended = new AbortController();
        if (!compiled.has(run.algorithm)) {
          compiled.set(run.algorithm, writtenOr(ended.signal, join(out, 'metrics.jsonl')));
        }
        const learnt = await learn(run, workload, out, device).finally(() => ended.abort());
        const known = [...(done.get(run.algorithm) ?? []), learnt];
        done.set(run.algorithm, known);
        // Again with each seed that ends: a section that is stopped has said what it knew.
        report(`learning.${run.algorithm}`, { ...summary(known, images), processes, gpus: gpus.length });
      }
    };
    await Promise.all(Array.from({ length: processes }, worker));
  });
}

interface Learnt extends Run {
  /** From before training to its end. */
  readonly curve: readonly CurvePoint[];
  /** Why it ended early, if it did. */
  readonly failure?: string;
}

/** Settles when there is such a file (metrics come with the first epoch), or when its run has ended without. */
async function writtenOr(ended: AbortSignal, file: string): Promise<void> {
  while (!existsSync(file) && !ended.aborted) await pause(500);
}

async function learn(
  run: Run,
  { learning: { curve, prompts } }: Workload,
  out: string,
  device: Readonly<Record<string, string>>,
): Promise<Learnt> {
  await mkdir(out, { recursive: true });
  const program = programBeside('quickstart.mjs');
  const options = {
    ...{ '--algorithm': run.algorithm, '--seed': run.seed, '--images': run.images, '--minutes': 600 },
    ...{ '--curve': curve, '--eval-prompts': prompts, '--out': out },
    '--model': join(dirname(program), '../../examples/quickstart/assets'),
  };
  const log = createWriteStream(join(out, 'log.txt'));
  const child = spawn(process.execPath, [program, ...Object.entries(options).flat().map(String)], {
    env: { ...process.env, ...device },
  });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  log.end();
  const written = await readFile(join(out, 'curve.json'), 'utf8').catch(() => '[]');
  const points = JSON.parse(written) as CurvePoint[];
  if (status === 0) {
    const { problem } = JSON.parse(await readFile(join(out, 'result.json'), 'utf8')) as { problem?: string };
    return { ...run, curve: points, ...(problem && { failure: problem }) };
  }
  const said = (await readFile(join(out, 'log.txt'), 'utf8')).trim().slice(-300);
  return { ...run, curve: points, failure: `status ${status}: ${said}` };
}

function summary(learnt: readonly Learnt[], images: number) {
  const mean = (of: (run: Learnt) => number | undefined) => meanOf(learnt.map(of));
  const to = (goal: number, what: 'images' | 'seconds') => mean(({ curve }) => reached(curve, goal, what));
  const ends = learnt.map(({ curve }) => curve.at(-1)).filter((point) => point !== undefined);
  const at = (what: keyof CurvePoint, count: number) =>
    mean(({ curve }) => {
      const found = curve.find((point) => point.images >= count)?.[what];
      return typeof found === 'number' ? found : undefined;
    });
  const failures = learnt.flatMap(({ seed, failure }) => (failure ? [`seed ${seed}: ${failure}`] : []));
  return {
    seeds: learnt.map(({ seed }) => seed),
    strictBefore: at('strict', 0),
    strict: at('strict', images),
    strictDeviation: deviationOf(
      learnt.map(({ curve }) => curve.find((point) => point.images >= images)?.strict),
    ),
    topColor: at('topColor', images),
    diversity: at('diversity', images),
    images: meanOf(ends.map((point) => point.images)),
    ...{
      strictEnd: meanOf(ends.map(({ strict }) => strict)),
      topColorEnd: meanOf(ends.map((p) => p.topColor)),
    },
    ...{ diversityEnd: meanOf(ends.map((p) => p.diversity)), seconds: meanOf(ends.map((p) => p.seconds)) },
    ...{ secondsTo60: to(0.6, 'seconds'), secondsTo65: to(0.65, 'seconds') },
    ...{ imagesTo60: to(0.6, 'images'), imagesTo65: to(0.65, 'images') },
    curves: learnt.map(({ seed, curve }) => ({
      seed,
      points: curve.map((p) => [p.images, Number(p.strict.toFixed(4)), Number(p.topColor.toFixed(3))]),
    })),
    ...(failures.length > 0 && { failures }),
  };
}

/** Where the straight lines between evaluations first reach a share of right images. */
export function reached(
  curve: readonly Pick<CurvePoint, 'strict' | 'images' | 'seconds'>[],
  goal: number,
  what: 'images' | 'seconds',
): number | undefined {
  const next = curve.findIndex(({ strict }) => strict >= goal);
  if (next < 0) return undefined;
  const [before, after] = [curve[next - 1], curve[next]!];
  if (!before) return after[what];
  const share = (goal - before.strict) / (after.strict - before.strict);
  return before[what] + share * (after[what] - before[what]);
}

/** null when one is missing: an algorithm reaches a score when all its seeds do. */
function meanOf(values: readonly (number | undefined)[]): number | null {
  const known = values.filter((value) => value !== undefined);
  if (known.length === 0 || known.length < values.length) return null;
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** Sample standard deviation over seeds. */
function deviationOf(values: readonly (number | undefined)[]): number | null {
  const mean = meanOf(values);
  if (mean === null || values.length < 2) return null;
  const squares = values.reduce<number>((sum, value) => sum + (value! - mean) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}
