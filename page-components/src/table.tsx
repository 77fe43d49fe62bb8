/** Tables of numbers that sort by any column. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';

const FIRST_ROWS = 20;

export interface Column<Row> {
  readonly title: string;
  /** What a row is sorted by: text, or a number, or nothing, which comes last. */
  readonly sortBy: (row: Row) => string | number | undefined;
  readonly show: (row: Row) => ComponentChildren;
}

export interface TableProps<Row> {
  readonly caption: string;
  /** The first one names the row. */
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string | number;
  /** The column by which it is sorted at first, from the highest down. */
  readonly sortedBy: number;
}

export function SortableTable<Row>({ caption, columns, rows, keyOf, sortedBy }: TableProps<Row>) {
  const [by, setBy] = useState(sortedBy);
  const [descending, setDescending] = useState(true);
  const [all, setAll] = useState(false);
  const sorted = sortRows(rows, columns[by]!.sortBy, descending);
  const shown = all ? sorted : sorted.slice(0, FIRST_ROWS);
  const choose = (column: number) => {
    setDescending(column === by ? !descending : column !== 0);
    setBy(column);
  };
  return (
    <div>
      <table>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ title }, i) => (
              <th
                key={title}
                scope="col"
                aria-sort={i === by ? (descending ? 'descending' : 'ascending') : 'none'}
              >
                <button type="button" class="sort" onClick={() => choose(i)}>
                  {title}
                  <span aria-hidden="true">{i === by ? (descending ? ' ↓' : ' ↑') : ''}</span>
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={keyOf(row)}>
              <th scope="row">{columns[0]!.show(row)}</th>
              {columns.slice(1).map(({ title, show }) => (
                <td key={title}>{show(row)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {shown.length < sorted.length && (
        <button type="button" onClick={() => setAll(true)}>
          Show all {sorted.length}
        </button>
      )}
    </div>
  );
}

/** Rows by a value; those without one last. */
export function sortRows<Row>(
  rows: readonly Row[],
  sortBy: Column<Row>['sortBy'],
  descending: boolean,
): Row[] {
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [sortBy(a), sortBy(b)];
    if (x === undefined || y === undefined) return Number(x === undefined) - Number(y === undefined);
    return sign * (typeof x === 'string' ? x.localeCompare(String(y)) : x - Number(y));
  });
}
