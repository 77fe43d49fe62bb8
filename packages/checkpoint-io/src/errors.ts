/**
 * A checkpoint that cannot be read or written: damaged, hostile, unsupported or not there. The message names
 * the file and, where one is known, the byte offset of what is wrong.
 */
export class CheckpointError extends Error {
  override readonly name: string = 'CheckpointError';
  /** The file (or the name of the bytes in memory) that is at fault. */
  readonly file: string;
  /** Byte offset in that file, where the fault has a place. */
  readonly offset: number | undefined;

  constructor(file: string, problem: string, offset?: number, options?: ErrorOptions) {
    super(`${file}: ${problem}${offset === undefined ? '' : ` (at byte ${offset})`}`, options);
    this.file = file;
    this.offset = offset;
  }
}

/** A tensor whose shape is not the one the model declares. */
export interface ShapeMismatch {
  readonly name: string;
  readonly expected: readonly number[];
  readonly actual: readonly number[];
}

/** Everything that is wrong with a checkpoint's keys, in one error. */
export class KeyMismatchError extends Error {
  override readonly name = 'KeyMismatchError';
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly misshaped: readonly ShapeMismatch[];

  constructor(
    what: string,
    missing: readonly string[],
    unexpected: readonly string[],
    misshaped: readonly ShapeMismatch[],
  ) {
    const shapes = misshaped.map(
      ({ name, expected, actual }) => `${name}: expected [${expected}], found [${actual}]`,
    );
    super(
      [
        `${what}: the tensors do not match the model`,
        section('missing', missing),
        section('unexpected', unexpected),
        section('wrongly shaped', shapes),
      ]
        .filter((line) => line !== '')
        .join('\n'),
    );
    this.missing = missing;
    this.unexpected = unexpected;
    this.misshaped = misshaped;
  }
}

/** Enough lines to see the pattern; the error's fields hold the whole lists. */
const LISTED = 20;

function section(title: string, lines: readonly string[]): string {
  if (lines.length === 0) return '';
  const rest = lines.length > LISTED ? [`  … and ${lines.length - LISTED} more`] : [];
  return [`${title} (${lines.length}):`, ...lines.slice(0, LISTED).map((line) => `  ${line}`), ...rest].join(
    '\n',
  );
}
