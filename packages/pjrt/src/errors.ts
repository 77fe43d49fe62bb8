/** The status codes of PJRT_Error_Code (absl's). */
const CODES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

export type PjrtErrorCode = (typeof CODES)[number];

/** What XLA or this binding refused: `operation` is what was called, `code` the status, `message` XLA's own text. */
export class PjrtError extends Error {
  override readonly name: string = 'PjrtError';

  constructor(
    readonly operation: string,
    readonly code: PjrtErrorCode,
    readonly detail: string,
  ) {
    super(`${operation}: ${detail}`);
  }
}

/**
 * No memory left on a device. `requestedBytes` is undefined where XLA does not say, `freeBytes` where its plugin does not
 * count; CPU devices have the machine's.
 */
export class PjrtOutOfMemoryError extends PjrtError {
  override readonly name = 'PjrtOutOfMemoryError';

  constructor(
    operation: string,
    detail: string,
    readonly requestedBytes: number | undefined,
    readonly freeBytes: number | undefined,
  ) {
    super(operation, 'RESOURCE_EXHAUSTED', detail);
  }
}

export const codeName = (code: number): PjrtErrorCode => CODES[code] ?? 'UNKNOWN';

/** An error of the caller's making, found before anything native is called. */
export const invalid = (operation: string, detail: string): PjrtError =>
  new PjrtError(operation, 'INVALID_ARGUMENT', detail);

/** `1.50 GiB` for people. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}
