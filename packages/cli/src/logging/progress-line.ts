/** One line that tells what a run is doing and how long it will take. */
import type { EpochMetrics, Progress } from '@flow-grpo/grpo-trainer';
import { duration } from './duration';

/** A line that is rewritten in place on a terminal, and printed now and then elsewhere. */
export interface ProgressLine {
  show(text: string): void;
  /** Prints a message of its own. */
  note(text: string): void;
  /** Leaves the last text standing. */
  end(): void;
}

/** Where nothing can be rewritten, lines are at least this far apart. */
const QUIET_MS = 10_000;

export function progressLine(stream: NodeJS.WriteStream = process.stderr): ProgressLine {
  let open = false;
  let last = Number.NEGATIVE_INFINITY;
  const end = () => {
    if (open) stream.write('\n');
    open = false;
  };
  return {
    show(text) {
      if (stream.isTTY) {
        stream.write(`\r\x1b[2K${text.slice(0, (stream.columns ?? 80) - 1)}`);
        open = true;
      } else if (performance.now() - last > QUIET_MS) {
        last = performance.now();
        stream.write(`${text}\n`);
      }
    },
    note(text) {
      if (open) stream.write('\r\x1b[2K');
      open = false;
      stream.write(`${text}\n`);
    },
    end,
  };
}

export interface TrainingProgress {
  onProgress(progress: Progress): void;
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
  line: ProgressLine,
  { epochs, imagesPerStep, now = () => performance.now() / 1000 }: TrainingProgressOptions,
): TrainingProgress {
  const times: number[] = [];
  let phase: Progress['phase'] | undefined;
  let started = now();
  return {
    onProgress({ phase: name, epoch, done, total }) {
      if (name !== phase || done === 0) {
        phase = name;
        started = now();
      }
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
      line.show(parts.filter(Boolean).join('  '));
    },
    onEpoch({ epoch, reward, seconds, samplesPerSecond, mfu }) {
      times.push(seconds ?? 0);
      const parts = [
        `epoch ${epoch + 1}/${epochs}`,
        `reward ${reward.toFixed(4)}`,
        `${(samplesPerSecond ?? 0).toFixed(1)} images/s`,
      ];
      if (mfu !== undefined) parts.push(`MFU ${(100 * mfu).toFixed(1)} %`);
      parts.push(leftOf(times, epochs - epoch - 1));
      line.note(parts.filter(Boolean).join('  '));
    },
  };
}

/** Time left by the mean of the last ten epochs; the first one, which compiles, counts only while alone. */
function leftOf(times: readonly number[], left: number): string {
  const recent = (times.length > 1 ? times.slice(1) : times).slice(-10);
  if (recent.length === 0) return '';
  return `${duration((left * recent.reduce((sum, value) => sum + value, 0)) / recent.length)} left`;
}
