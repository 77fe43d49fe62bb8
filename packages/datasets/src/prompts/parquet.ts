import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import type { PromptExample } from '../examples';
import { type ColumnOptions, fromRow, requireColumn } from './formats';
import { type PromptSet, promptSet } from './prompt-set';

const BLOCK = 1024; // rows decoded and kept at a time

/**
 * A Parquet file, uncompressed or Snappy; the row is the metadata. Rows are decoded in blocks of 1,024 and
 * the latest block is kept, so neighbours are cheap and memory does not grow with the file.
 */
export async function openParquet(
  path: string,
  { promptColumn = 'prompt' }: ColumnOptions = {},
): Promise<PromptSet> {
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
  requireColumn(path, columns, promptColumn);
  const length = Number(metadata.num_rows);
  let cached: { block: number; rows: Promise<Record<string, unknown>[]> } | undefined;
  const load = (block: number) => {
    if (cached?.block !== block) {
      const rowStart = block * BLOCK;
      const rowEnd = Math.min(rowStart + BLOCK, length);
      cached = { block, rows: parquetReadObjects({ file, metadata, rowStart, rowEnd }) };
    }
    return cached.rows;
  };
  const read = async (start: number, end: number): Promise<PromptExample[]> => {
    const examples: PromptExample[] = [];
    for (let i = start; i < end; i++) {
      const rows = await load(Math.floor(i / BLOCK));
      examples.push(fromRow(rows[i % BLOCK]!, promptColumn, `${path}: row ${i + 1}`));
    }
    return examples;
  };
  return promptSet(path, length, read);
}
