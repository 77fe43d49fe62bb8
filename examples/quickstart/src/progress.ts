/** A line that is rewritten in place on a terminal, and printed now and then elsewhere. */

export interface ProgressLine {
  show(text: string): void;
  /** Prints a message of its own. */
  note(text: string): void;
  /** Leaves the last text standing. */
  end(): void;
}

const QUIET_MS = 10_000;

export function progressLine(stream: NodeJS.WriteStream): ProgressLine {
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
      end();
      stream.write(`${text}\n`);
    },
    end,
  };
}
