/** One line that shows what a command is doing and how long it will take. */
import { plainText } from '@flow-grpo/rewards/plain-text';

/** A line that is rewritten in place on a terminal, and printed now and then in a log file. */
export interface ProgressLine {
  /**
   * What is being done; the next text replaces it.
   *
   * @param share of the work that is done, from 0 to 1, for the bar
   */
  show(text: string, share?: number): void;
  /** One of many similar messages, such as an epoch's: each is printed on a terminal, some in a log file. */
  log(text: string): void;
  /** Prints a message of its own. */
  note(text: string): void;
  /** Leaves the last text standing. */
  end(): void;
}

/** In a log file progress is at least this far apart, and messages that are alike as well. */
const QUIET_MS = 10_000;

const BAR = 20;

/** On a narrower terminal the text is more use than the bar. */
const COLUMNS_FOR_BAR = 60;

/**
 * What it shows may be the words of a server, or of a prompt: nothing in them moves the cursor or sets a title.
 *
 * @param now milliseconds, for tests
 */
export function progressLine(
  stream: NodeJS.WriteStream = process.stderr,
  now: () => number = () => performance.now(),
): ProgressLine {
  const line = stream.isTTY && process.env.TERM !== 'dumb' ? terminalLine(stream) : logLines(stream, now);
  return {
    show: (text, share) => line.show(plainText(text), share),
    log: (text) => line.log(plainText(text)),
    note: (text) => line.note(plainText(text)),
    end: line.end,
  };
}

function terminalLine(stream: NodeJS.WriteStream): ProgressLine {
  let open = false;
  const note = (text: string) => {
    stream.write(`${open ? '\r\x1b[2K' : ''}${text}\n`);
    open = false;
  };
  return {
    show(text, share) {
      const columns = stream.columns || 80; // some terminals say 0
      const shown = share === undefined || columns < COLUMNS_FOR_BAR ? text : `${bar(share)} ${text}`;
      stream.write(`\r\x1b[2K${shown.slice(0, columns - 1)}`);
      open = true;
    },
    log: note,
    note,
    end() {
      if (open) stream.write('\n');
      open = false;
    },
  };
}

/** `━━━━━━━─────────────  35 %` */
function bar(share: number): string {
  const done = Math.min(1, Math.max(0, share));
  const filled = Math.round(BAR * done);
  return `${'━'.repeat(filled)}${'─'.repeat(BAR - filled)} ${`${Math.floor(100 * done)}`.padStart(3)} %`;
}

function logLines(stream: NodeJS.WriteStream, now: () => number): ProgressLine {
  let last = Number.NEGATIVE_INFINITY;
  /** The newest message that was left out; it is printed in the end, so that a log does not stop before its run. */
  let waiting: string | undefined;
  const print = (text: string) => {
    last = now();
    waiting = undefined;
    stream.write(`${text}\n`);
  };
  const isQuiet = () => now() - last <= QUIET_MS;
  return {
    show(text) {
      if (!isQuiet()) print(text);
    },
    log(text) {
      if (isQuiet()) waiting = text;
      else print(text);
    },
    note(text) {
      if (waiting !== undefined) stream.write(`${waiting}\n`);
      waiting = undefined;
      stream.write(`${text}\n`);
    },
    end() {
      if (waiting !== undefined) print(waiting);
    },
  };
}
