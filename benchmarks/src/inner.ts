/** A part of a section in a process of its own: this program once more, with the GPUs' memory to itself. */
import { type ChildOptions, measureIn } from './child';
import type { Measurement } from './reporting';

export interface InnerOptions extends Pick<ChildOptions, 'onStart' | 'onErrorLine'> {
  /** Where it finds or leaves its files. */
  readonly folder: string;
  /** Seconds. */
  readonly limit: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Small sizes, whatever this section's are. */
  readonly tiny?: boolean;
  /** Its measurements come back only, instead of being this section's too. */
  readonly quiet?: boolean;
}

/**
 * Runs the part `name`, of those in one-section.ts; `:word` behind it is its argument.
 *
 * @returns what it measured
 * @throws when it fails or takes too long.
 */
export async function runInner(
  name: string,
  { folder, tiny, ...options }: InnerOptions,
): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  const size = tiny || process.argv.includes('--tiny') ? ['--tiny'] : [];
  const args = [process.argv[1]!, '--section', name, '--folder', folder, ...size];
  const onMeasurement = (measurement: Measurement) => measurements.push(measurement);
  const reason = await measureIn(process.execPath, args, { ...options, onMeasurement });
  if (reason) throw new Error(`${name} ${reason}`);
  return measurements;
}
