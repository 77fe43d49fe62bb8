/** The run's page frozen: a page beside its data and images, or one file with everything in it. */
import { writeFile } from 'node:fs/promises';
import { basename, join, relative, resolve } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { type PageAssets, pageAssets } from '../page/assets';
import { pageInOne, pageOfFiles, runScript } from '../page/document';
import { readRun } from '../page/read-run';
import type { EvaluationData, RunData } from '../page/run-data';
import { readSample } from '../page/run-records';

export interface RunReportOptions {
  /** Folders of further runs, which are laid over the first. */
  readonly others?: readonly string[];
  /** Where the page goes: another folder gets copies of the images, so that it can be passed on. Default: the run's folder. */
  readonly out?: string;
  /** One file that needs no other, with at most `MAX_INLINE_IMAGES` images. */
  readonly singleFile?: boolean;
}

/** Images in a page of one file: more would make it too large to open at once. */
const MAX_INLINE_IMAGES = 200;

/**
 * Writes `report.html`: the page of a run, which opens from a file. Its data stand beside it as scripts (`report/`), since a
 * page of a file may not read others, and its images are those of the run, loaded as they come into view.
 *
 * @returns the page's path
 * @throws when a folder has no metrics of an epoch, naming it
 */
export async function writeRunReport(folder: string, options: RunReportOptions = {}): Promise<string> {
  const { others = [], out = folder, singleFile = false } = options;
  const folders = [folder, ...others];
  const assets = await pageAssets();
  const copies = resolve(out) !== resolve(folder);
  const runs: RunData[] = [];
  for (const [i, each] of folders.entries()) {
    const prefix = copies ? `runs/${i}/` : addressOf(relative(out, each));
    const run = await readRun(each, { address: (file) => prefix + file });
    if (run.metrics.epoch?.length === 0)
      throw new ConfigError(`${each} has no metrics.jsonl with an epoch in it`);
    runs.push(run);
  }
  const file = join(out, 'report.html');
  makeFolder(out);
  const title = `${basename(resolve(folder))} – Flow-GRPO`;
  if (singleFile) {
    const inlined = await Promise.all(
      runs.map((run, i) => withImages(run, folders[i]!, MAX_INLINE_IMAGES / runs.length)),
    );
    await writeFile(file, pageInOne(title, assets, inlined));
    return file;
  }
  if (copies) {
    for (const [i, each] of folders.entries())
      await copySamples(each, join(out, 'runs', String(i)), runs[i]!);
  }
  await writeParts(join(out, 'report'), assets, runs);
  const data = runs.map((_, i) => `report/run-${i}.js`);
  await writeFile(file, pageOfFiles(title, 'report/style.css', [...data, 'report/app.js']));
  return file;
}

async function writeParts(
  folder: string,
  { script, style }: PageAssets,
  runs: readonly RunData[],
): Promise<void> {
  makeFolder(folder);
  await writeFile(join(folder, 'app.js'), script);
  await writeFile(join(folder, 'style.css'), style);
  for (const [i, run] of runs.entries()) await writeFile(join(folder, `run-${i}.js`), runScript(run));
}

/** A folder's address from the page's, with its separator; empty for the same folder. */
const addressOf = (path: string) =>
  path === '' ? '' : `${path.split(/[\\/]/).map(encodeURIComponent).join('/')}/`;

async function copySamples(folder: string, target: string, { evaluations }: RunData): Promise<void> {
  makeFolder(join(target, 'samples'));
  for (const { samples } of evaluations) {
    if (!samples) continue;
    const name = decodeURIComponent(samples.file.split('/').at(-1)!);
    const bytes = await readSample(folder, name);
    // What was removed by hand is missing on the page as well.
    if (bytes) await writeFile(join(target, 'samples', name), bytes);
  }
}

/** The run with images inside it: the first and the last evaluation, and as many between them as there is room for. */
async function withImages(run: RunData, folder: string, most: number): Promise<RunData> {
  const drawn = run.evaluations.filter(({ samples }) => samples);
  const each = Math.max(1, ...drawn.map(({ samples }) => samples!.prompts.length));
  const kept = new Set(spread(drawn, Math.max(2, Math.floor(most / each))));
  const inline = async ({ samples, ...evaluation }: EvaluationData): Promise<EvaluationData> => {
    if (!samples) return evaluation;
    const name = decodeURIComponent(samples.file.split('/').at(-1)!);
    const bytes = await readSample(folder, name);
    if (!bytes) return evaluation;
    const type = name.endsWith('.png') ? 'image/png' : 'image/jpeg';
    return {
      ...evaluation,
      samples: { ...samples, file: `data:${type};base64,${bytes.toString('base64')}` },
    };
  };
  const evaluations = run.evaluations.map((evaluation) => {
    const { samples: _, ...bare } = evaluation;
    return kept.has(evaluation) ? inline(evaluation) : bare;
  });
  return { ...run, evaluations: await Promise.all(evaluations) };
}

/** `count` of the values, the first and the last among them, evenly apart. */
function spread<T>(values: readonly T[], count: number): T[] {
  if (values.length <= count) return [...values];
  return Array.from(
    { length: count },
    (_, i) => values[Math.round((i * (values.length - 1)) / (count - 1))]!,
  );
}
