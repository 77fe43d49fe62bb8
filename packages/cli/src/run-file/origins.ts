/** Where each option of a run was given, so that a problem can name the line and the value. */
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { isMap, isPair, isScalar, type LineCounter, type Node, type Pair } from 'yaml';

/** Where an option was given. */
export interface OptionOrigin {
  /** `run.yaml:5`, or `command line`. */
  readonly place: string;
  readonly value: unknown;
}

/** Origins by the option's dotted path; groups have one too. */
export type OptionOrigins = Map<string, OptionOrigin>;

/**
 * The keys of a YAML document with the lines they stand in.
 *
 * @throws {ConfigError} for a key that no option can have
 */
export function originsOfDocument(contents: unknown, file: string, lines: LineCounter): OptionOrigins {
  const origins: OptionOrigins = new Map();
  const walk = (node: unknown, path: string) => {
    if (!isMap(node)) return;
    for (const pair of node.items) {
      if (!isPair(pair)) continue;
      const { key, value } = pair as Pair<Node, Node | null>;
      const own = String(isScalar(key) ? key.value : key);
      const name = [path, own].filter(Boolean).join('.');
      const { line } = lines.linePos(key.range?.[0] ?? 0);
      // Schemas drop it without a word.
      if (own === '__proto__') throw new ConfigError(`${file}:${line}: ${name} is not the name of an option`);
      origins.set(name, { place: `${file}:${line}`, value: isScalar(value) ? value.value : {} });
      walk(value, name);
    }
  };
  walk(contents, '');
  return origins;
}

/** An override replaces what a file says of the option and of everything in it. */
export function addOverride(origins: OptionOrigins, path: string, value: unknown): void {
  for (const known of origins.keys()) if (known.startsWith(`${path}.`)) origins.delete(known);
  origins.set(path, { place: 'command line', value });
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return;
  for (const [key, inner] of Object.entries(value)) addOverride(origins, `${path}.${key}`, inner);
}

/**
 * Puts the place in front of every line of a message that names an option, and the given value after it where the line
 * does not show it.
 */
export function withOrigins(message: string, origins: OptionOrigins): string {
  return message
    .split('\n')
    .map((line) => {
      const found = originOf(line, origins);
      if (found === undefined) return line;
      const { place, value } = found.origin;
      const given = found.exact ? givenText(value, line) : '';
      return `${place}: ${line}${given}`;
    })
    .join('\n');
}

/**
 * Runs work on a run; the configuration errors it throws then say where the options were given.
 *
 * @throws what the work throws
 */
export async function explained<T>(origins: OptionOrigins | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ConfigError) || origins === undefined) throw error;
    throw new ConfigError(withOrigins(error.message, origins), { cause: error });
  }
}

interface Found {
  readonly origin: OptionOrigin;
  /** The line is about this option, not about one missing in this group. */
  readonly exact: boolean;
}

function originOf(line: string, origins: OptionOrigins): Found | undefined {
  const byLength = [...origins.keys()].sort((a, b) => b.length - a.length);
  const first = byLength.find(
    (path) => line.startsWith(path) && !/^[\w-]|^\.\w/.test(line.slice(path.length)),
  );
  if (first !== undefined) return { origin: origins.get(first)!, exact: true };
  // An option that is missing: its group was given.
  const group = byLength.find((path) => line.startsWith(`${path}.`));
  if (group !== undefined) return { origin: origins.get(group)!, exact: false };
  const within = byLength.find((path) => path.includes('.') && wordIn(line, path));
  return within === undefined ? undefined : { origin: origins.get(within)!, exact: false };
}

function wordIn(line: string, path: string): boolean {
  const at = line.indexOf(path);
  if (at < 0) return false;
  return !/[\w.]/.test(line[at - 1] ?? ' ') && !/^[\w-]|^\.\w/.test(line.slice(at + path.length));
}

const LONGEST = 60;

function givenText(value: unknown, line: string): string {
  if (value === undefined || (typeof value === 'object' && value !== null)) return '';
  const text = JSON.stringify(value);
  if (line.includes(String(value)) && value !== '') return '';
  return ` (given: ${text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text})`;
}
