/** Folders of runs with made-up numbers and images, for tests of the page. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomAt } from '@flow-grpo/grpo-trainer/maths';
import sharp from 'sharp';
import { type Outcome, writeOutcome } from '../../logging/outcome';
import type { EvaluationRecord } from '../../logging/run-log';

export interface MadeUpRun {
  readonly epochs: number;
  /** Evaluations, with an image for each prompt. */
  readonly evaluations: number;
  /** 16 by default. */
  readonly prompts?: readonly string[];
  /** Every reward is the same. */
  readonly constant?: boolean;
  /** Pixels along a side. */
  readonly side?: number;
  readonly seed?: number;
  readonly plannedEpochs?: number;
  /** Images turn black while the reward rises. */
  readonly hacked?: boolean;
  readonly outcome?: Outcome;
}

const COLORS = {
  red: [200, 50, 40],
  green: [50, 160, 70],
  blue: [50, 80, 200],
  yellow: [220, 190, 40],
} as const;
const SHAPES = ['square', 'circle', 'triangle', 'cross'];
const PROMPTS = Object.keys(COLORS).flatMap((color) => SHAPES.map((shape) => `a ${color} ${shape}`));

/** Writes a run that learns: noise turns to the colour its prompt names, and the reward rises with it. */
export async function writeMadeUpRun(folder: string, run: MadeUpRun): Promise<void> {
  const { epochs, evaluations, side = 16, seed = 1, plannedEpochs = epochs, outcome } = run;
  const { prompts = PROMPTS, hacked = false, constant = false } = run;
  const random = randomAt(seed, 0x706167);
  await mkdir(join(folder, 'samples'), { recursive: true });
  const learnt = (epoch: number) => 1 - Math.exp((-3 * epoch) / epochs);
  const metrics = Array.from({ length: epochs }, (_, epoch) => {
    const noise = () => random() - 0.5;
    const [rollout, reward, update] = [2 + 0.2 * noise(), 0.4 + 0.1 * noise(), 3 + 0.3 * noise()];
    return {
      epoch,
      updates: 2 * (epoch + 1),
      samples: 128 * (epoch + 1),
      reward: constant ? 1 : 0.2 + 0.6 * learnt(epoch) + 0.08 * noise(),
      'reward.shapes': 0.3 + 0.5 * learnt(epoch) + 0.08 * noise(),
      rewardStd: 0.2,
      groupRewardStd: 0.15 + 0.02 * noise(),
      zeroVarianceShare: 0.05 + 0.02 * noise(),
      advantageAbsMean: 0.8,
      dropped: 0,
      learningRate: 1e-4,
      loss: 0.01 * noise(),
      'images.brightness': 0.9 - 0.02 * learnt(epoch) + 0.01 * noise(),
      'images.nearBlack': hacked ? 0.004 + 0.3 * learnt(epoch) ** 4 : 0.004,
      'images.diversity': 0.16 + 0.01 * noise(),
      velocityNorm: 1.3 + 0.05 * learnt(epoch),
      kl: 0.02 * learnt(epoch) + 1e-4,
      approxKl: 1e-5 * (1 + random()),
      clipFraction: 0.2 + 0.05 * noise(),
      gradNorm: outcome?.reason === 'diverged' && epoch === epochs - 1 ? 48.1 : 0.5 + 0.2 * random(),
      ...Object.fromEntries(
        [1, 3, 5].flatMap((step) => [
          [`ratio.${step}.mean`, 1 + 0.001 * noise()],
          [`ratio.${step}.p99`, 1.01 + 0.002 * noise()],
        ]),
      ),
      secondsRollout: rollout,
      secondsReward: reward,
      secondsUpdate: update,
      seconds: (epoch === 0 ? 20 : 0) + rollout + reward + update,
      samplesPerSecond: 128 / (rollout + reward + update),
    };
  });
  const histogram = (spread: number) => ({
    low: -spread,
    high: spread,
    counts: Array.from({ length: 30 }, (_, i) => Math.round(100 * Math.exp(-(((i - 15) / 6) ** 2)))),
  });
  const histograms = metrics.map(({ epoch }) => ({ epoch, advantages: histogram(3), rewards: histogram(1) }));
  const records: EvaluationRecord[] = [];
  const list = {
    prompts,
    kinds: prompts.map(kindOf),
  };
  await writeFile(join(folder, 'samples', 'prompts-0.json'), JSON.stringify(list));
  for (let i = 0; i < evaluations; i++) {
    const epoch = evaluations > 1 ? Math.round((i * epochs) / (evaluations - 1)) : 0;
    const share = learnt(epoch);
    const rewards = prompts.map((_, k) =>
      constant ? 1 : Math.min(1, share * (0.5 + k / 30) + 0.05 * random()),
    );
    const file = join('samples', `epoch-${String(epoch).padStart(6, '0')}.png`);
    await writeFile(join(folder, file), await strip(prompts.length, { side, share, seed, hacked }));
    records.push({
      epoch,
      reward: rewards.reduce((a, b) => a + b) / rewards.length,
      seconds: 2,
      details: { shapes: share },
      samples: {
        file,
        width: side,
        height: side,
        prompts,
        rewards,
        changes: rewards.map((_, k) => share * (0.3 + ((k * 7) % 16) / 40)),
      },
      all: { prompts: 'samples/prompts-0.json', rewards },
    });
  }
  const lines = (list: readonly object[]) => list.map((record) => `${JSON.stringify(record)}\n`).join('');
  await writeFile(join(folder, 'metrics.jsonl'), lines(metrics));
  await writeFile(join(folder, 'histograms.jsonl'), lines(histograms));
  await writeFile(join(folder, 'evaluations.jsonl'), lines(records));
  if (outcome) await writeOutcome(folder, outcome);
  await writeFile(
    join(folder, 'config.json'),
    JSON.stringify({ epochs: plannedEpochs, seed: 42, resume: '/home/somebody/runs/earlier' }, null, 2),
  );
}

const INSIDE: readonly ((x: number, y: number, size: number) => boolean)[] = [
  (x, y, size) => Math.max(Math.abs(x), Math.abs(y)) < 0.9 * size,
  (x, y, size) => Math.hypot(x, y) < size,
  (x, y, size) => y < 0.8 * size && Math.abs(x) < 0.6 * (y + size),
  (x, y, size) =>
    Math.max(Math.abs(x), Math.abs(y)) < size && Math.min(Math.abs(x), Math.abs(y)) < 0.35 * size,
];

/**
 * The images of an evaluation: shapes as the prompts name them, under noise that fades with what was learnt. Where the reward
 * is hacked they turn black.
 */
async function strip(
  images: number,
  { side, share, seed, hacked }: { side: number; share: number; seed: number; hacked: boolean },
): Promise<Buffer> {
  const random = randomAt(seed, 0x696d67);
  const bytes = new Uint8Array(images * side * side * 3);
  const colors = Object.values(COLORS);
  for (let image = 0; image < images; image++) {
    const color = colors[Math.floor(image / 4) % colors.length]!;
    const shade = hacked ? 1 - share ** 4 : 1;
    for (let pixel = 0; pixel < side * side; pixel++) {
      const [x, y] = [(pixel % side) / side - 0.5, Math.floor(pixel / side) / side - 0.5];
      const inside = INSIDE[image % 4]!(x, y, 0.2 + 0.05 * (image % 4));
      for (let c = 0; c < 3; c++) {
        const wanted = inside ? shade * color[c]! : 245;
        bytes[(image * side * side + pixel) * 3 + c] = share * wanted + (1 - share) * 255 * random();
      }
    }
  }
  return sharp(bytes, { raw: { width: side, height: side * images, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
}

/** `a red cross` is of the crosses; a sentence has no kind. */
function kindOf(prompt: string): string | null {
  const [, , noun, more] = prompt.split(' ');
  return noun === undefined || more !== undefined ? null : noun.replace(/s?$/, (end) => (end ? 'ses' : 's'));
}
