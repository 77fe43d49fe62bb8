/** Files of JSON lines that a run appends to; they survive kills and full disks. */
import { constants } from 'node:fs';
import { copyFile, readFile, rename, writeFile } from 'node:fs/promises';

/** One line that holds a record. */
interface Line<T> {
  /** As it stands in the file. */
  readonly text: string;
  readonly record: T;
}

interface Lines<T> {
  readonly lines: readonly Line<T>[];
  /** Numbers, from 1, of lines that hold no record; a last line without an end, cut by a kill, is not among them. */
  readonly broken: readonly number[];
}

function parseLines<T extends object>(text: string, isRecord: (record: T) => boolean = () => true): Lines<T> {
  const all = text.split('\n');
  const lines: Line<T>[] = [];
  const broken: number[] = [];
  all.forEach((each, i) => {
    if (each.trim() === '') return;
    const record = parseRecord<T>(each);
    if (record && isRecord(record)) lines.push({ text: each, record });
    else if (i < all.length - 1) broken.push(i + 1);
  });
  return { lines, broken };
}

function parseRecord<T extends object>(line: string): T | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}

const textOf = (file: string): Promise<string | undefined> =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw Object.assign(error, { path: file }); // of a folder it does not say which
  });

/** The records of a JSON-lines file, skipping lines that hold none; empty if there is no file. */
export async function readJsonLines<T extends object>(file: string): Promise<T[]> {
  return parseLines<T>((await textOf(file)) ?? '').lines.map(({ record }) => record);
}

/**
 * Keeps the lines whose records `keep` accepts, unchanged, and drops the others; records are of epochs. An incomplete last
 * line is dropped, too. Any other line without a record is damage: the file is copied before it is rewritten.
 *
 * @param onDamage called with what is damaged, and where the copy is
 */
export async function keepLines<T extends { readonly epoch: number }>(
  file: string,
  keep: (record: T) => boolean,
  onDamage: (message: string) => void = () => undefined,
): Promise<void> {
  const text = await textOf(file);
  if (text === undefined) return;
  const { lines, broken } = parseLines<T>(text, ({ epoch }) => Number.isFinite(epoch));
  const kept = lines.filter(({ record }) => keep(record)).map((line) => `${line.text}\n`);
  if (kept.join('') === text) return;
  if (broken.length > 0) {
    const copy = await setAside(file);
    const shown = broken.slice(0, 5).join(', ') + (broken.length > 5 ? ', …' : '');
    onDamage(
      `${file} is damaged: ${broken.length} line(s) are not records (${shown}). They are left out; the original file is kept as ${copy}`,
    );
  }
  await writeFile(`${file}.tmp`, kept.join(''));
  await rename(`${file}.tmp`, file);
}

/** Copies a file beside itself under a name that is free, and returns that. */
async function setAside(file: string): Promise<string> {
  for (let n = 1; ; n++) {
    const copy = n === 1 ? `${file}.damaged` : `${file}.damaged-${n}`;
    try {
      await copyFile(file, copy, constants.COPYFILE_EXCL);
      return copy;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}
