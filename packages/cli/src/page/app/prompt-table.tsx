/** Rewards by kind and by prompt, sortable. */
import { useMemo, useState } from 'preact/hooks';
import type { RunData } from '../run-data';
import { figure, signed } from './insight';
import { type Column, kindRows, type PromptRow, promptRows, sortRows } from './prompts';

const FIRST_ROWS = 20;
const HEADINGS: Record<Column, string> = { name: 'Prompt', first: 'First', last: 'Last', change: 'Change' };

export function PromptTables({ run, matches }: { run: RunData; matches: (prompt: number) => boolean }) {
  const prompts = useMemo(() => promptRows(run), [run]);
  const kinds = useMemo(() => kindRows(run), [run]);
  const [column, setColumn] = useState<Column>('change');
  const [descending, setDescending] = useState(true);
  const [all, setAll] = useState(false);
  if (prompts.length === 0) return <p class="empty">No evaluation with rewards yet.</p>;
  const sorted = sortRows(prompts, column, descending).filter(({ prompt }) => matches(prompt!));
  const shown = all ? sorted : sorted.slice(0, FIRST_ROWS);
  const choose = (next: Column) => {
    setDescending(next === column ? !descending : next !== 'name');
    setColumn(next);
  };
  return (
    <div class="tables">
      {kinds.length > 0 && (
        <div>
          <table>
            <caption>By kind</caption>
            <thead>
              <tr>
                <th scope="col">Kind</th>
                <th scope="col">First</th>
                <th scope="col">Last</th>
                <th scope="col">Change</th>
              </tr>
            </thead>
            <tbody>
              {kinds.map((row) => (
                <Row key={row.name} row={row} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      <div>
        <table>
          <caption>
            By prompt (
            {sorted.length === prompts.length ? prompts.length : `${sorted.length} of ${prompts.length}`})
          </caption>
          <thead>
            <tr>
              {(Object.keys(HEADINGS) as Column[]).map((name) => (
                <th
                  key={name}
                  scope="col"
                  aria-sort={name === column ? (descending ? 'descending' : 'ascending') : 'none'}
                >
                  <button type="button" class="sort" onClick={() => choose(name)}>
                    {HEADINGS[name]}
                    <span aria-hidden="true">{name === column ? (descending ? ' ↓' : ' ↑') : ''}</span>
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <Row key={row.prompt} row={row} />
            ))}
          </tbody>
        </table>
        {shown.length < sorted.length && (
          <button type="button" onClick={() => setAll(true)}>
            Show all {sorted.length}
          </button>
        )}
      </div>
    </div>
  );
}

function Row({ row: { name, first, last, change, images } }: { row: PromptRow }) {
  return (
    <tr>
      <th scope="row">
        {name}
        {images > 1 && <small class="count"> {images} images</small>}
      </th>
      <td>{figure(first)}</td>
      <td>{figure(last)}</td>
      <td class={change === undefined || change === 0 ? '' : change > 0 ? 'up' : 'down'}>
        {change === undefined ? '–' : signed(change)}
      </td>
    </tr>
  );
}
