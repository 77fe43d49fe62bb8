/** A training run in a progress line: phases, rates and the time remaining. */
import type { EpochMetrics, Progress } from '@flow-grpo/grpo-trainer';
import { duration } from './duration';
import type { ProgressLine } from './progress-line';

export interface TrainingProgress {
  onProgress(progress: Progress): void;
  /** Names of the programs that are being compiled; none when compilation is over. */
  onCompile(names: readonly string[]): void;
  onEpoch(metrics: EpochMetrics): void;
}

export interface TrainingProgressOptions {
  readonly epochs: number;
  /** Images that one step of a phase stands for. */
  readonly imagesPerStep: Readonly<Record<Progress['phase'], number>>;
  /** Seconds, for tests. */
  readonly now?: () => number;
}

/** Shows a training run: each phase with its rate and the time it has left, each epoch with the run's. */
export function trainingProgress(
  line: Pick<ProgressLine, 'show' | 'log'>,
  { epochs, imagesPerStep, now = () => performance.now() / 1000 }: TrainingProgressOptions,
): TrainingProgress {
  const times: number[] = [];
  let phase: Progress['phase'] | undefined;
  let started = now();
  let epochStarted = now();
  let current = 0;
  let text = '';
  /** Of the whole run; within an epoch by the time that epochs take. */
  const share = () => {
    const mean = meanSeconds(times);
    const within = mean ? Math.min(0.99, (now() - epochStarted) / mean) : 0;
    return Math.min(1, (current + within) / epochs);
  };
  return {
    onProgress({ phase: name, epoch, done, total }) {
      if (name !== phase || done === 0) {
        phase = name;
        started = now();
      }
      if (epoch !== current) [current, epochStarted] = [epoch, now()];
      const seconds = now() - started;
      const of = Math.max(1, total);
      const parts = [
        `epoch ${Math.min(epoch + 1, epochs)}/${epochs}`,
        `${name} ${Math.min(done + 1, of)}/${of}`,
      ];
      if (done > 0 && seconds > 0) {
        const images = imagesPerStep[name] * done;
        if (images > 0) parts.push(`${(images / seconds).toPrecision(3)} images/s`);
        parts.push(`${name} ends in ${duration(((total - done) * seconds) / done)}`);
      }
      parts.push(leftOf(times, epochs - epoch));
      text = parts.filter(Boolean).join('  ');
      line.show(text, share());
    },
    onCompile(names) {
      if (names.length > 0) line.show(`compiling ${names.join(', ')}`, share());
      else if (text) line.show(text, share());
    },
    onEpoch({ epoch, reward, seconds = 0, samplesPerSecond, mfu, ...more }) {
      times.push(Math.max(0, seconds - (more.secondsCompile ?? 0)));
      [current, epochStarted] = [epoch + 1, now()];
      const parts = [
        `epoch ${epoch + 1}/${epochs}`,
        `reward ${reward.toFixed(4)}`,
        `${(samplesPerSecond ?? 0).toFixed(1)} images/s`,
      ];
      if (mfu !== undefined) parts.push(`MFU ${(100 * mfu).toFixed(1)} %`);
      parts.push(leftOf(times, epochs - epoch - 1));
      line.log(parts.filter(Boolean).join('  '));
    },
  };
}

/** Of the last ten epochs without the first, which compiles and warms up; 0 before there are any. */
function meanSeconds(times: readonly number[]): number {
  const recent = times.slice(1).slice(-10);
  return recent.length === 0 ? 0 : recent.reduce((sum, value) => sum + value, 0) / recent.length;
}

/** Time left by the epochs so far; the first one says nothing of the others. */
function leftOf(times: readonly number[], left: number): string {
  if (times.length === 0 || left === 0) return '';
  return times.length === 1
    ? 'time left known after the next epoch'
    : `${duration(left * meanSeconds(times))} left`;
}
