import { describe, expect, it } from 'vitest';
import { trainingProgress } from './training-progress';

const imagesPerStep = { rollout: 8, reward: 8, update: 16, evaluation: 4, checkpoint: 0 };

function watched() {
  const shown: string[] = [];
  const noted: string[] = [];
  const shares: number[] = [];
  let now = 0;
  const progress = trainingProgress(
    {
      show: (text, share) => {
        shown.push(text);
        shares.push(share ?? Number.NaN);
      },
      log: (text) => void noted.push(text),
    },
    { epochs: 10, imagesPerStep, now: () => now },
  );
  return { shown, noted, shares, progress, at: (seconds: number) => (now = seconds) };
}

describe('trainingProgress', () => {
  it.each(['rollout', 'reward', 'update', 'evaluation'] as const)(
    'shows the rate and the end of a %s',
    (phase) => {
      const { shown, progress, at } = watched();
      progress.onProgress({ phase, epoch: 2, done: 0, total: 5 });
      at(4);
      progress.onProgress({ phase, epoch: 2, done: 2, total: 5 });
      const rate = (2 * imagesPerStep[phase]) / 4;
      expect(shown).toEqual([
        `epoch 3/10  ${phase} 1/5`,
        `epoch 3/10  ${phase} 3/5  ${rate.toPrecision(3)} images/s  ${phase} ends in 6 s`,
      ]);
    },
  );

  it('tells the time the run has left by its epochs, but the first one, which compiles', () => {
    const { noted, progress } = watched();
    const metrics = { updates: 0, samples: 0, reward: 0.5, samplesPerSecond: 12.34 };
    progress.onEpoch({ epoch: 0, seconds: 60, ...metrics });
    progress.onEpoch({ epoch: 1, seconds: 20, ...metrics });
    progress.onEpoch({ epoch: 2, seconds: 10, ...metrics, mfu: 0.4321 });
    expect(noted).toEqual([
      'epoch 1/10  reward 0.5000  12.3 images/s  time left known after the next epoch',
      'epoch 2/10  reward 0.5000  12.3 images/s  2 min 40 s left',
      'epoch 3/10  reward 0.5000  12.3 images/s  MFU 43.2 %  1 min 45 s left',
    ]);
  });

  it('leaves out what an epoch waited for compilation, too', () => {
    const { noted, progress } = watched();
    const metrics = { updates: 0, samples: 0, reward: 0.5, samplesPerSecond: 1 };
    progress.onEpoch({ epoch: 7, seconds: 60, ...metrics });
    progress.onEpoch({ epoch: 8, seconds: 40, secondsCompile: 30, ...metrics });
    progress.onEpoch({ epoch: 9, seconds: 10, ...metrics });
    expect(noted[1]).toMatch(/ {2}10 s left$/);
    expect(noted[2]).toMatch(/images\/s$/); // the last one
  });

  it('names what is being compiled, and goes back to what it was doing', () => {
    const { shown, progress } = watched();
    progress.onProgress({ phase: 'update', epoch: 0, done: 0, total: 2 });
    progress.onCompile(['gradientPass', 'optimizerStep']);
    progress.onCompile([]);
    expect(shown.slice(1)).toEqual(['compiling gradientPass, optimizerStep', shown[0]]);
  });

  it('tells the share of the run, within an epoch by the time that epochs take', () => {
    const { shares, progress, at } = watched();
    const metrics = { updates: 0, samples: 0, reward: 0.5 };
    progress.onProgress({ phase: 'rollout', epoch: 0, done: 0, total: 2 });
    progress.onEpoch({ epoch: 0, seconds: 99, ...metrics });
    progress.onEpoch({ epoch: 1, seconds: 10, ...metrics });
    progress.onProgress({ phase: 'rollout', epoch: 2, done: 0, total: 2 });
    at(5);
    progress.onProgress({ phase: 'update', epoch: 2, done: 0, total: 2 });
    at(500);
    progress.onProgress({ phase: 'update', epoch: 2, done: 1, total: 2 });
    expect(shares.map((share) => Number(share.toFixed(6)))).toEqual([0, 0.2, 0.25, 0.299]);
  });
});
