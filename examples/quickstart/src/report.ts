/** What the run leaves behind: pictures and one page. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type EpochMetrics,
  type Evaluation,
  type GrpoConfig,
  htmlReport,
  imageGrid,
  lineChart,
  movingAverage,
} from '@flow-grpo/grpo-trainer';
import sharp from 'sharp';
import { accuracies, type Example, type Habits } from './evaluation';
import type { QuickstartOptions } from './options';

export interface Outcome {
  options: QuickstartOptions;
  config: GrpoConfig;
  prompts: readonly Example[];
  before: Evaluation & { habits: Habits };
  after: Evaluation & { habits: Habits };
  history: readonly EpochMetrics[];
}

/** Writes report.html, reward.png and before-after.png, and returns their paths. */
export async function writeReport(folder: string, outcome: Outcome): Promise<string[]> {
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

  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const now = accuracies(prompts, after);
  const rows = accuracies(prompts, before).map(({ kind, prompts: count, strict }, i) => [
    kind,
    String(count),
    percent(strict),
    percent(now[i]!.strict),
  ]);
  const seconds = history.reduce((sum, { seconds }) => sum + seconds!, 0);
  const images = history.at(-1)?.samples ?? 0;
  const page = htmlReport('Flow-GRPO on coloured shapes', [
    {
      title: 'Strict accuracy on held-out prompts, noise level 0',
      header: ['kind', 'prompts', 'before', 'after'],
      rows,
    },
    {
      title: 'Habits: variety within a prompt, and colours where it names none',
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
    ...(curve ? [{ title: 'Reward of the training images', svg: curve }] : []),
    {
      title: 'Before (left) and after (right), from the same noise',
      png: grid,
      alt: 'Samples before and after',
    },
    {
      title: 'Run',
      header: ['', ''],
      rows: [
        ['epochs', String(history.length)],
        ['training images', String(images)],
        ['seconds', seconds.toFixed(1)],
        ['images a second', (images / Math.max(seconds, 1e-9)).toFixed(1)],
      ],
    },
    { title: 'Options', text: JSON.stringify(options, null, 2) },
    { title: 'Configuration', text: JSON.stringify(config, null, 2) },
  ]);
  await writeFile(files.page, page);
  return [files.page, files.grid, ...(curve ? [files.curve] : [])];
}

function rewardCurve(history: readonly EpochMetrics[]): string {
  const strict = history.map((metrics) => metrics['reward.strict']!);
  const average = movingAverage(strict, 10);
  const x = history.map(({ samples }) => samples);
  return lineChart(
    [
      { name: 'strict, one epoch', color: '#4878a8', dots: true, points: strict.map((y, i) => [x[i]!, y]) },
      { name: 'mean of ten epochs', color: '#c44e52', points: average.map((y, i) => [x[i]!, y]) },
    ],
    { title: 'Strict reward on training prompts', xLabel: 'images' },
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
