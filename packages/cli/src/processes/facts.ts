/** What the processes of a run must have in common, and where they differ. */

/** What a process tells of itself; values that differ are a fault but for those that name it. */
export interface ProcessFacts {
  readonly host: string;
  readonly pid: number;
  /** Milliseconds since 1970 when all processes had come to the same place. */
  readonly time: number;
  /** `flow-grpo`, `Node`, `plugin`, `driver`, `NCCL`, … with their versions. */
  readonly versions: Readonly<Record<string, string>>;
  /** E.g. `8 × NVIDIA H100`. */
  readonly devices: string;
}

/** Seconds that clocks may differ: logs and leases of a shared folder go by them. */
const CLOCKS = 5;

/** Rows of a table, and what is wrong. */
export function compareFacts(all: readonly ProcessFacts[]): {
  rows: [string, string][];
  problems: string[];
} {
  const problems: string[] = [];
  const rows: [string, string][] = all.map(({ host, pid, devices }, id) => [
    `process ${id}`,
    `${host}, pid ${pid}: ${devices}`,
  ]);
  for (const name of new Set(all.flatMap(({ versions }) => Object.keys(versions)))) {
    const values = all.map(({ versions }) => versions[name] ?? 'none');
    const distinct = [...new Set(values)];
    rows.push([
      name,
      distinct.length === 1 ? distinct[0]! : distinct.map((value) => where(value, values)).join('; '),
    ]);
    if (distinct.length > 1)
      problems.push(`${name} differs: ${distinct.map((value) => where(value, values)).join('; ')}`);
  }
  const times = all.map(({ time }) => time);
  const apart = (Math.max(...times) - Math.min(...times)) / 1000;
  rows.push(['clocks', `within ${apart.toFixed(1)} s`]);
  if (apart > CLOCKS) problems.push(`clocks differ by ${apart.toFixed(1)} s: set them by NTP`);
  return { rows, problems };
}

/** E.g. `580.1 (processes 0, 2)`. */
function where(value: string, values: readonly string[]): string {
  const ids = values.flatMap((each, id) => (each === value ? [id] : []));
  return `${value} (process${ids.length > 1 ? 'es' : ''} ${ids.join(', ')})`;
}
