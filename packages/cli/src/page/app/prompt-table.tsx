/** Rewards by kind and by prompt, sortable. */
import { decimalsOf, fixed, signedFixed } from '@flow-grpo/page-components/numbers';
import { type Column, SortableTable } from '@flow-grpo/page-components/table';
import { useMemo } from 'preact/hooks';
import type { RunData } from '../run-data';
import { kindRows, type PromptRow, promptRows } from './prompts';

export function PromptTables({ run, matches }: { run: RunData; matches: (prompt: number) => boolean }) {
  const prompts = useMemo(() => promptRows(run), [run]);
  const kinds = useMemo(() => kindRows(run), [run]);
  if (prompts.length === 0) return <p class="empty">No evaluation with rewards yet.</p>;
  const matching = prompts.filter(({ prompt }) => matches(prompt!));
  const count =
    matching.length === prompts.length ? prompts.length : `${matching.length} of ${prompts.length}`;
  return (
    <div class="tables">
      {kinds.length > 0 && (
        <SortableTable
          caption="By kind"
          columns={columnsOf('Kind', kinds)}
          rows={kinds}
          keyOf={({ name }) => name}
          sortedBy={CHANGE}
        />
      )}
      <SortableTable
        caption={`By prompt (${count})`}
        columns={columnsOf('Prompt', prompts)}
        rows={matching}
        keyOf={({ prompt }) => prompt!}
        sortedBy={CHANGE}
      />
    </div>
  );
}

/** The column that is sorted by at first. */
const CHANGE = 3;

function columnsOf(title: string, rows: readonly PromptRow[]): Column<PromptRow>[] {
  const decimals = decimalsOf(rows.flatMap(({ first, last }) => [first, last]));
  return [
    {
      title,
      sortBy: ({ name }) => name,
      show: ({ name, images }) => (
        <>
          <span class="clamp" title={name}>
            {name}
          </span>
          {images > 1 && <small class="count"> {images} images</small>}
        </>
      ),
    },
    { title: 'First', sortBy: ({ first }) => first, show: ({ first }) => fixed(first, decimals) },
    { title: 'Last', sortBy: ({ last }) => last, show: ({ last }) => fixed(last, decimals) },
    {
      title: 'Change',
      sortBy: ({ change }) => change,
      show: ({ change }) =>
        change === undefined ? (
          '–'
        ) : (
          <span class={change === 0 ? '' : change > 0 ? 'up' : 'down'}>{signedFixed(change, decimals)}</span>
        ),
    },
  ];
}
