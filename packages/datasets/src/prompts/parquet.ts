import type { PromptExample } from '../examples';
import { type ColumnOptions, fromRow, requireColumn } from './formats';
import { plainValues } from './plain-values';
import { type PromptSet, promptSet } from './prompt-set';

/** Without a page index the whole row group is gone through for each block, so blocks must not be small. */
const BLOCK = 8192;

/**
 * A Parquet file, uncompressed or Snappy; the row is the metadata. Rows are decoded in blocks and the latest
 * block is kept, so neighbours are cheap, and memory grows with the largest row group, not with the file.
 */
export async function openParquet(
  path: string,
  { promptColumn = 'prompt' }: ColumnOptions = {},
  block = BLOCK,
): Promise<PromptSet> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } = await import(
    'hyparquet'
  );
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
  requireColumn(path, columns, promptColumn);
  const length = Number(metadata.num_rows);
  let cached: { rowStart: number; rows: Promise<Record<string, unknown>[]> } | undefined;
  const load = (rowStart: number) => {
    if (cached?.rowStart !== rowStart) {
      const rowEnd = Math.min(rowStart + block, length);
      const rows = parquetReadObjects({ file, metadata, rowStart, rowEnd });
      cached = { rowStart, rows: rows.then((all) => all.map((row) => plainValues(row) as typeof row)) };
    }
    return cached.rows;
  };
  const read = async (start: number, end: number): Promise<PromptExample[]> => {
    const examples: PromptExample[] = [];
    for (let i = start; i < end; i++) {
      const rows = await load(i - (i % block));
      examples.push(fromRow(rows[i % block]!, promptColumn, `${path}: row ${i + 1}`));
    }
    return examples;
  };
  return promptSet(path, length, read);
}
