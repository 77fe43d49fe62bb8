/** What a section says while it runs: one line of JSON a measured case, so that nothing is lost when it is stopped. */

export const ENGINES = ['ours', 'torch', 'jax'] as const;
export type Engine = (typeof ENGINES)[number];

/** One measured case. `ms` is its main number where it is a time. */
export interface Measurement {
  readonly engine: Engine;
  /** `section.name`, the same for all engines that do this work. */
  readonly case: string;
  readonly ms?: number;
  readonly [key: string]: unknown;
}

/** Reports a case of this engine on stdout, numbers with four digits. */
export function report(name: string, values: Readonly<Record<string, unknown>>): void {
  const line: Measurement = { engine: 'ours', case: name, ...rounded(values) };
  console.log(JSON.stringify(line));
}

const rounded = (values: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      key,
      typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value,
    ]),
  );

/** The measurement in a line of output, undefined for anything else. */
export function parseLine(line: string): Measurement | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value = JSON.parse(line) as Partial<Measurement>;
    const known = ENGINES.some((engine) => engine === value.engine) && typeof value.case === 'string';
    return known ? (value as Measurement) : undefined;
  } catch {
    return undefined;
  }
}
