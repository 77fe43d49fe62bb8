import type { PromptExample } from '../examples';
import { isBlank, strip } from './blank';
import { parseCsvRecord } from './csv';
import { type PromptSet, promptSet } from './prompt-set';
import { indexRecords } from './records';

export interface ColumnOptions {
  /** Name of the column (or JSON key) that holds the prompt; default `prompt`. */
  promptColumn?: string;
}

/** One prompt per line, white space around it removed, lines without a visible character skipped. */
export async function openText(path: string): Promise<PromptSet> {
  const file = await indexRecords(path);
  const read = async (start: number, end: number) =>
    (await file.read(start, end)).map((line, i): PromptExample => {
      const prompt = checkPrompt(strip(line), `${path}: record ${start + i + 1}`);
      return { prompt, metadata: {} };
    });
  return promptSet(path, file.length, read, file.close);
}

/** One JSON object per line; the whole object is the metadata, as flow_grpo hands it to its rewards. */
export async function openJsonLines(path: string, { promptColumn = 'prompt' }: ColumnOptions = {}) {
  const file = await indexRecords(path);
  const parse = (line: string, index: number): PromptExample => {
    const where = `${path}: record ${index + 1}`;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw new Error(`${where} is not JSON: ${(error as Error).message}`);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new Error(`${where} is not a JSON object`);
    }
    return fromRow(value as Record<string, unknown>, promptColumn, where);
  };
  const read = async (start: number, end: number) =>
    (await file.read(start, end)).map((line, i) => parse(line, start + i));
  return promptSet(path, file.length, read, file.close);
}

/** Comma-separated values with a header line; the whole row, as strings, is the metadata. */
export const openCsv = (path: string, options: ColumnOptions = {}) => openSeparated(path, ',', options);

/** The same with tabs between fields. */
export const openTsv = (path: string, options: ColumnOptions = {}) => openSeparated(path, '\t', options);

async function openSeparated(
  path: string,
  delimiter: string,
  { promptColumn = 'prompt' }: ColumnOptions,
): Promise<PromptSet> {
  const file = await indexRecords(path, delimiter);
  try {
    const [first] = file.length > 0 ? await file.read(0, 1) : [];
    if (first === undefined) throw new Error(`${path}: no header line`);
    const header = fields(first, delimiter, `${path}: header`);
    requireColumn(path, header, promptColumn);
    const twice = header.find((name, i) => header.indexOf(name) < i);
    if (twice !== undefined) throw new Error(`${path}: the header names the column "${twice}" twice`);
    const parse = (record: string, index: number): PromptExample => {
      const where = `${path}: record ${index + 1}`;
      const row = fields(record, delimiter, where);
      if (row.length !== header.length) {
        throw new Error(`${where} has ${row.length} fields, the header names ${header.length}`);
      }
      return fromRow(Object.fromEntries(header.map((name, i) => [name, row[i]])), promptColumn, where);
    };
    const read = async (start: number, end: number) =>
      (await file.read(start + 1, end + 1)).map((record, i) => parse(record, start + i));
    return promptSet(path, file.length - 1, read, file.close);
  } catch (error) {
    await file.close();
    throw error;
  }
}

function fields(record: string, delimiter: string, where: string): string[] {
  try {
    return parseCsvRecord(record, delimiter);
  } catch (error) {
    throw new Error(`${where}: ${(error as Error).message}`);
  }
}

export function requireColumn(path: string, columns: readonly string[], promptColumn: string): void {
  if (columns.includes(promptColumn)) return;
  throw new Error(
    `${path}: no column "${promptColumn}" among ${columns.join(', ')}; name it with promptColumn`,
  );
}

export function fromRow(row: Record<string, unknown>, promptColumn: string, where: string): PromptExample {
  const prompt = row[promptColumn];
  if (typeof prompt !== 'string') {
    throw new Error(`${where}: "${promptColumn}" is ${JSON.stringify(prompt) ?? 'missing'}, not a string`);
  }
  return { prompt: checkPrompt(prompt, where), metadata: row };
}

/** A prompt that says nothing, or that no encoding can hold, is a mistake in the file. */
function checkPrompt(prompt: string, where: string): string {
  if (isBlank(prompt)) throw new Error(`${where}: the prompt is empty`);
  if (/\p{Surrogate}/u.test(prompt)) {
    throw new Error(`${where}: the prompt holds half of a surrogate pair, which is not a character`);
  }
  return prompt;
}
