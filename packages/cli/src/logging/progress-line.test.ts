import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { progressLine, trainingProgress } from './progress-line';

const imagesPerStep = { rollout: 8, reward: 8, update: 16, evaluation: 4, checkpoint: 0 };

function watched() {
  const shown: string[] = [];
  const noted: string[] = [];
  let now = 0;
  const progress = trainingProgress(
    { show: (text) => void shown.push(text), note: (text) => void noted.push(text), end: () => {} },
    { epochs: 10, imagesPerStep, now: () => now },
  );
  return { shown, noted, progress, at: (seconds: number) => (now = seconds) };
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
      'epoch 1/10  reward 0.5000  12.3 images/s  9 min 0 s left',
      'epoch 2/10  reward 0.5000  12.3 images/s  2 min 40 s left',
      'epoch 3/10  reward 0.5000  12.3 images/s  MFU 43.2 %  1 min 45 s left',
    ]);
  });
});

describe('progressLine', () => {
  const on = (isTTY: boolean) => {
    let text = '';
    const stream = new PassThrough();
    stream.on('data', (chunk) => {
      text += chunk;
    });
    const line = progressLine(Object.assign(stream, { isTTY, columns: 20 }) as never);
    return { line, text: () => text };
  };

  it('is rewritten in place on a terminal, no longer than a row', () => {
    const { line, text } = on(true);
    line.show('rollout 1/2');
    line.show('x'.repeat(50));
    line.note('saved');
    line.end();
    expect(text()).toBe(`\r\x1b[2Krollout 1/2\r\x1b[2K${'x'.repeat(19)}\r\x1b[2Ksaved\n`);
  });

  it('is printed now and then elsewhere', () => {
    const { line, text } = on(false);
    for (let i = 1; i <= 100; i++) line.show(`rollout ${i}/100`);
    line.note('saved');
    expect(text()).toBe('rollout 1/100\nsaved\n');
  });
});
