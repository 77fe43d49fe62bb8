import { readFile, writeFile } from 'node:fs/promises';
import { plural } from '@flow-grpo/page-components/numbers';
import { checkScores } from '../compose/multi-score';
import { checkFormat } from '../images/formats';
import type { EncodedImage, Scorer, Scores } from '../scorer';
import { type ImageEntry, type InputFlags, readInputs } from './inputs';
import { outputFiles } from './output';
import { progressLine } from './progress';
import { planRewards, type RewardFlags } from './rewards';
import { scoresHtml } from './sheet';
import { type ScoredFolder, scoresCsv, scoresJson, summary } from './tables';
import { InterruptedError, reported } from './usage-error';

export interface ScoreFlags extends RewardFlags, InputFlags {
  out: string;
  batchSize: number;
}

/** Longer edge of the sheet's pictures. */
const THUMBNAIL = 256;

/** Scores a folder and writes scores.csv, scores.json and scores.html. */
export async function scoreCommand(flags: ScoreFlags): Promise<void> {
  const plan = await planRewards(flags);
  const images = await readInputs(flags, plan.needsPrompts);
  const files = await outputFiles(flags.out, ['scores.csv', 'scores.json', 'scores.html']);
  const scorer = await plan.make();
  const stop = new AbortController();
  const interrupt = () => stop.abort(new InterruptedError('interrupted; nothing was written'));
  process.once('SIGINT', interrupt);
  try {
    const { thumbnails, ...result } = await reported(() =>
      scoreFolder(scorer, images, flags.batchSize, stop.signal),
    );
    const scored: ScoredFolder = { rewards: flags.reward, images, ...result };
    await writeFile(files['scores.csv'], scoresCsv(scored));
    await writeFile(files['scores.json'], scoresJson(scored));
    await writeFile(files['scores.html'], await scoresHtml(scored, thumbnails));
    const { mean } = summary(result.scores);
    process.stdout.write(
      `${plural(images.length, 'image')}, mean score ${Number(mean.toPrecision(6))}\n${Object.values(files).join('\n')}\n`,
    );
  } finally {
    process.off('SIGINT', interrupt);
  }
}

/** Batch by batch: memory holds the files of one batch, and every thumbnail. */
async function scoreFolder(
  scorer: Scorer,
  images: readonly ImageEntry[],
  batchSize: number,
  signal: AbortSignal,
): Promise<Scores & { thumbnails: string[] }> {
  const scores: number[] = [];
  const details: Record<string, number[]> = {};
  const thumbnails: string[] = [];
  const line = progressLine(images.length);
  try {
    for (let at = 0; at < images.length; at += batchSize) {
      signal.throwIfAborted();
      line.show(at);
      const batch = images.slice(at, at + batchSize);
      const read = await Promise.all(batch.map(readImage));
      const result = await scorer
        .score(
          read.map(({ image }) => image),
          batch.map(({ prompt }) => prompt),
          batch.map(({ metadata }) => metadata),
          { signal },
        )
        .catch((error: Error) => {
          signal.throwIfAborted();
          const files = batch.length > 1 ? `${batch[0]!.file} to ${batch.at(-1)!.file}` : batch[0]!.file;
          throw new Error(`${files}: ${error.message}`, { cause: error });
        });
      checkScores(scorer.name, result, batch.length);
      scores.push(...result.scores);
      thumbnails.push(...read.map(({ thumbnail }) => thumbnail));
      for (const [name, values] of Object.entries(result.details)) {
        details[name] ??= new Array<number>(at).fill(Number.NaN);
        details[name].push(...values);
      }
      for (const values of Object.values(details)) {
        while (values.length < scores.length) values.push(Number.NaN);
      }
    }
  } finally {
    line.end();
  }
  return { scores, details, thumbnails };
}

/** A file with its picture for the sheet; a file that is no image fails here, by its name. */
async function readImage({ path }: ImageEntry): Promise<{ image: EncodedImage; thumbnail: string }> {
  const bytes = await readFile(path);
  const { default: sharp } = await import('sharp');
  const drawn = async () => {
    checkFormat(bytes);
    return sharp(bytes)
      .resize(THUMBNAIL, THUMBNAIL, { fit: 'inside', withoutEnlargement: true })
      .webp({ quality: 80 })
      .toBuffer();
  };
  const small = await drawn().catch((cause: Error) => {
    throw new Error(`${path} cannot be read as an image: ${cause.message}`, { cause });
  });
  return { image: { bytes }, thumbnail: `data:image/webp;base64,${small.toString('base64')}` };
}
