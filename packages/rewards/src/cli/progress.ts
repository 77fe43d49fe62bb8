/** Progress in one line, rewritten on a terminal and printed now and then elsewhere. */
export interface ProgressLine {
  show(done: number): void;
  /** Clears the line. */
  end(): void;
}

/** Where nothing can be rewritten, lines are this far apart. */
const QUIET_MS = 10_000;

export function progressLine(
  total: number,
  stream: NodeJS.WriteStream = process.stderr,
  now: () => number = () => performance.now(),
): ProgressLine {
  const start = now();
  let last = start;
  return {
    show(done) {
      const seconds = (now() - start) / 1000;
      const rate = done > 0 && seconds > 0 ? done / seconds : 0;
      const pace =
        rate > 0 ? `  ${rate.toPrecision(3)} images/s  ${duration((total - done) / rate)} left` : '';
      const line = `${done}/${total} images  ${Math.floor((100 * done) / total)} %${pace}`;
      if (stream.isTTY) {
        stream.write(`\r\x1b[2K${line.slice(0, (stream.columns || 80) - 1)}`);
      } else if (now() - last >= QUIET_MS) {
        last = now();
        stream.write(`${line}\n`);
      }
    },
    end: () => void (stream.isTTY && stream.write('\r\x1b[2K')),
  };
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}
