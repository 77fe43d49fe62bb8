/** Digests of StableHLO programs that do not depend on names, so that code can move without changing them. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Digests of programs, each with the names under which the program was traced. */
export type ProgramRecord = Record<string, string>;

const RECORD = fileURLToPath(new URL('../../programs.json', import.meta.url));

/**
 * Digests of the programs that an example gave to XLA, in a folder of `FLOW_GRPO_XLA_DUMP`, and those on record in
 * `tests/programs.json`; prints what differs. With `UPDATE_PROGRAMS` what was found becomes the record.
 */
export function comparePrograms(example: string, folder: string): { found: string[]; onRecord: string[] } {
  const found = programDigests(folder);
  // Read at the last moment: the examples' suites run at the same time, and each rewrites the file with its own part.
  const record: Record<string, ProgramRecord> = JSON.parse(readFileSync(RECORD, 'utf8'));
  const known = record[example] ?? {};
  const state = (digest: string) => (digest in known ? ' ' : '+');
  const rows = Object.entries(found).map(([digest, name]) => `${state(digest)} ${digest}  ${name}`);
  const gone = Object.entries(known).filter(([digest]) => !(digest in found));
  rows.push(...gone.map(([digest, name]) => `- ${digest}  ${name}`));
  console.log([`Programs of ${example}`, ...rows].join('\n'));
  const update = Boolean(process.env.UPDATE_PROGRAMS);
  if (update) writeFileSync(RECORD, `${JSON.stringify({ ...record, [example]: found }, null, 2)}\n`);
  const digests = (programs: ProgramRecord) => Object.keys(programs).sort();
  return { found: digests(found), onRecord: digests(update ? found : known) };
}

/** The digests of the programs in a folder of `FLOW_GRPO_XLA_DUMP`, in the order of their names. */
export function programDigests(folder: string): ProgramRecord {
  const names = new Map<string, Set<string>>();
  for (const file of readdirSync(folder).filter((each) => each.endsWith('.mlir'))) {
    const digest = programDigest(readFileSync(join(folder, file), 'utf8'));
    names.set(digest, (names.get(digest) ?? new Set()).add(file.split('.')[0]!));
  }
  const rows = [...names].map(([digest, all]): [string, string] => [digest, [...all].sort().join(', ')]);
  const key = ([digest, all]: [string, string]) => `${all} ${digest}`;
  return Object.fromEntries(rows.sort((a, b) => (key(a) < key(b) ? -1 : 1)));
}

/** Twelve hexadecimal digits of the SHA-256 of a module with its names taken away. */
export const programDigest = (text: string): string =>
  createHash('sha256').update(withoutNames(text)).digest('hex').slice(0, 12);

/**
 * A module in which the module, functions, meshes and values are numbered in the order in which they appear, without
 * locations. Texts in quotation marks, such as the targets of custom calls and the axes of meshes, stay.
 */
export function withoutNames(text: string): string {
  const numbers = new Map<string, string>();
  const numbered = (name: string) => {
    if (!numbers.has(name)) numbers.set(name, `${name[0]}${numbers.size}`);
    return numbers.get(name)!;
  };
  return text
    .replace(/"(?:[^"\\]|\\.)*"|[@%][\w.$-]+/g, (found) => (found.startsWith('"') ? found : numbered(found)))
    .replace(/ loc\([^\n]*\)$/gm, '');
}
