/** One line that tells what a run is doing and how long it will take. */
import type { EpochMetrics, Progress } from '../train';

/** Writes to a terminal in place; elsewhere one line an epoch. */
export function progressLine(epochs: number, stream: NodeJS.WriteStream = process.stderr) {
  const times: number[] = [];
  let last = '';
  const draw = (text: string) => {
    if (!stream.isTTY) return;
    stream.write(`\r${text.slice(0, (stream.columns ?? 80) - 1).padEnd(last.length)}`);
    last = text;
  };
  return {
    onProgress({ phase, epoch, done, total }: Progress): void {
      draw(
        `epoch ${epoch + 1}/${epochs}  ${phase} ${done + 1}/${Math.max(1, total)}  ${eta(times, epochs - epoch)}`,
      );
    },
    onEpoch({ epoch, reward, seconds, samplesPerSecond }: EpochMetrics): void {
      times.push(seconds ?? 0);
      const text = `epoch ${epoch + 1}/${epochs}  reward ${reward.toFixed(4)}  ${(samplesPerSecond ?? 0).toFixed(1)} images/s  ${eta(times, epochs - epoch - 1)}`;
      if (stream.isTTY) draw(text);
      else stream.write(`${text}\n`);
    },
    message(text: string): void {
      if (stream.isTTY && last) stream.write(`\r${' '.repeat(last.length)}\r`);
      stream.write(`${text}\n`);
      last = '';
    },
  };
}

/** Time left by the mean of the last ten epochs. */
function eta(times: readonly number[], left: number): string {
  const recent = times.slice(-10);
  if (recent.length === 0) return '';
  const seconds = Math.round((left * recent.reduce((sum, value) => sum + value, 0)) / recent.length);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return `${hours > 0 ? `${hours} h ` : ''}${minutes} min ${seconds % 60} s left`;
}
