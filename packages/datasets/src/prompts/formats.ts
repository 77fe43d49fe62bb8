import type { PromptExample } from '../examples';
import { parseCsvRecord } from './csv';
import { type PromptSet, promptSet } from './prompt-set';
import { indexRecords } from './records';

export interface ColumnOptions {
  /** Name of the column (or JSON key) that holds the prompt; default `prompt`. */
  promptColumn?: string;
}

/** One prompt a line, white space around it removed, blank lines skipped. */
export async function openText(path: string): Promise<PromptSet> {
  const file = await indexRecords(path);
  const read = async (start: number, end: number) =>
    (await file.read(start, end)).map((line): PromptExample => ({ prompt: line.trim(), metadata: {} }));
  return promptSet(path, file.length, read, file.close);
}

/** One JSON object a line; the whole object is the metadata, as flow_grpo hands it to its rewards. */
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

/** CSV with a header line; the whole row, as strings, is the metadata. */
export async function openCsv(
  path: string,
  { promptColumn = 'prompt' }: ColumnOptions = {},
): Promise<PromptSet> {
  const file = await indexRecords(path, true);
  try {
    const [first] = file.length > 0 ? await file.read(0, 1) : [];
    if (first === undefined) throw new Error(`${path}: no header line`);
    const header = fields(first, `${path}: header`);
    requireColumn(path, header, promptColumn);
    const parse = (record: string, index: number): PromptExample => {
      const where = `${path}: record ${index + 1}`;
      const row = fields(record, where);
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

function fields(record: string, where: string): string[] {
  try {
    return parseCsvRecord(record);
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
  return { prompt, metadata: row };
}
