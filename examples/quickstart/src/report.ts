/** The pictures of a run and one page around them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EpochMetrics, Evaluation } from '@flow-grpo/grpo-trainer';
import { htmlReport, imageGrid, lineChart, movingAverage } from 'flow-grpo/report';
import sharp from 'sharp';
import type { Example } from './evaluation';
import type { Outcome, Result } from './outputs';

export const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** Writes report.html, reward.png and before-after.png, and returns their paths. */
export async function writeReport(folder: string, outcome: Outcome, result: Result): Promise<string[]> {
  const { options, config, prompts, before, after, history } = outcome;
  const files = {
    page: join(folder, 'report.html'),
    curve: join(folder, 'reward.png'),
    grid: join(folder, 'before-after.png'),
  };
  const grid = await beforeAfterGrid(prompts, before, after);
  await writeFile(files.grid, grid);
  const curve = history.length > 0 ? rewardCurve(history) : undefined;
  if (curve) await writeFile(files.curve, await sharp(Buffer.from(curve)).png().toBuffer());
  const page = htmlReport(`Coloured shapes, trained with ${options.algorithm}`, [
    {
      title: 'Accuracy: held-out prompts whose image shows exactly what was asked for, noise level 0',
      header: ['kind', 'images', 'before', 'after'],
      rows: result.before.strict.map(({ kind, prompts: count, strict }, i) => [
        kind,
        String(count),
        percent(strict),
        percent(result.after.strict[i]!.strict),
      ]),
    },
    {
      title: 'Before (left) and after (right), from the same noise',
      png: grid,
      alt: 'Samples before and after',
    },
    ...(curve ? [{ title: 'Training', svg: curve }] : []),
    {
      title: 'Diversity and colour bias',
      header: ['', 'before', 'after'],
      rows: [
        ['diversity', before.habits.diversity.toFixed(3), after.habits.diversity.toFixed(3)],
        ...Object.entries(before.habits.colors).map(([color, share]) => [
          color,
          percent(share),
          percent(after.habits.colors[color]!),
        ]),
      ],
    },
    {
      title: 'Run',
      header: ['', ''],
      rows: [
        ['reward of held-out prompts', `${before.reward.toFixed(3)} → ${after.reward.toFixed(3)}`],
        ['backend', result.backend],
        ['epochs', String(result.epochs)],
        ['training images', String(result.images)],
        ['images per second', result.imagesPerSecond.toFixed(1)],
        ['minutes of training', (result.trainingSeconds / 60).toFixed(1)],
        ['minutes in total', (result.totalSeconds / 60).toFixed(1)],
        ['peak memory', `${(result.peakMemory / 2 ** 30).toFixed(2)} GiB`],
      ],
    },
    { title: 'Options', text: JSON.stringify(options, null, 2) },
    { title: 'Configuration', text: JSON.stringify(config, null, 2) },
  ]);
  await writeFile(files.page, page);
  return [files.page, files.grid, ...(curve ? [files.curve] : [])];
}

/** Strict accuracy where the reward tells it, else the reward itself. */
function rewardCurve(history: readonly EpochMetrics[]): string {
  const judged = history.every((metrics) => metrics['reward.strict'] !== undefined);
  const values = history.map((metrics) => (judged ? metrics['reward.strict']! : metrics.reward));
  const average = movingAverage(values, 10);
  const x = history.map(({ samples }) => samples);
  return lineChart(
    [
      { name: 'one epoch', color: '#4878a8', dots: true, points: values.map((y, i) => [x[i]!, y]) },
      { name: 'mean of ten epochs', color: '#c44e52', points: average.map((y, i) => [x[i]!, y]) },
    ],
    {
      title: judged ? 'Strict accuracy on training prompts' : 'Reward on training prompts',
      xLabel: 'images',
    },
  );
}

function beforeAfterGrid(
  prompts: readonly Example[],
  before: Evaluation,
  after: Evaluation,
): Promise<Buffer> {
  const [count, side] = before.imageShape as [number, number];
  const pixels = side * side * 3;
  const cells = Array.from({ length: count }, (_, i) => ({
    caption: prompts[i]!.prompt,
    images: [before, after].map(({ images }) => images.subarray(i * pixels, (i + 1) * pixels)),
    rewards: [before, after].map(({ details }) => details.strict![i]!),
  }));
  return imageGrid(cells, { side });
}
