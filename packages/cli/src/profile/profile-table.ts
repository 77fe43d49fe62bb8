/** A profile as text. */
import type { Profile, ProfileRow } from './profiler';

/** Programs below this share of the epoch are summed up in one line. */
const SMALL = 0.002;

const HEADINGS: Record<ProfileRow['kind'], string> = {
  phase: 'phases of the trainer',
  program: 'programs on the device',
  idle: 'programs on the device',
  scoring: 'scoring, which may overlap with the rest',
};

export function profileTable({ epochs, secondsPerEpoch, rows }: Profile): string {
  const lines = [`${secondsPerEpoch.toPrecision(3)} s per epoch (mean of ${epochs})`];
  let heading = '';
  for (const row of summarised(rows)) {
    if (HEADINGS[row.kind] !== heading) {
      heading = HEADINGS[row.kind];
      lines.push(`${heading}:`);
    }
    const calls = row.calls > 0 ? `${Number(row.calls.toPrecision(3))} ×` : '';
    const speed = row.gflopsPerSecond === undefined ? '' : ` ${speedText(row.gflopsPerSecond).padStart(13)}`;
    lines.push(
      `  ${row.what.padEnd(24)} ${calls.padStart(8)} ${row.seconds.toFixed(3).padStart(9)} s ${(100 * row.share).toFixed(1).padStart(6)} %${speed}`,
    );
  }
  return lines.join('\n');
}

const speedText = (gflops: number): string =>
  gflops < 1000 ? `${gflops.toPrecision(3)} GFLOP/s` : `${(gflops / 1000).toPrecision(3)} TFLOP/s`;

function summarised(rows: readonly ProfileRow[]): ProfileRow[] {
  const isSmall = ({ kind, share }: ProfileRow) => kind === 'program' && share < SMALL;
  const small = rows.filter(isSmall);
  if (small.length < 2) return [...rows];
  const sum = (of: (row: ProfileRow) => number) => small.reduce((total, row) => total + of(row), 0);
  const rest: ProfileRow = {
    what: `${small.length} others`,
    kind: 'program',
    calls: sum(({ calls }) => calls),
    seconds: sum(({ seconds }) => seconds),
    share: sum(({ share }) => share),
  };
  const large = rows.filter((row) => !isSmall(row));
  const at = large.findLastIndex(({ kind }) => kind === 'program') + 1;
  return [...large.slice(0, at), rest, ...large.slice(at)];
}
