/** The application: what the scores are like, then every image, sorted by any of them. */
import { Chart, histogramLine } from '@flow-grpo/page-components/chart';
import { Panel, Segmented } from '@flow-grpo/page-components/controls';
import { Header, SkipLink, Tile } from '@flow-grpo/page-components/frame';
import { holdsWords, ImageGrid, Lightbox, Search } from '@flow-grpo/page-components/images';
import { decimalsOf, figure, fixed, plural, summaryOf } from '@flow-grpo/page-components/numbers';
import { type Column, SortableTable } from '@flow-grpo/page-components/table';
import { useMemo, useState } from 'preact/hooks';
import { histogramOf } from './histogram';
import type { ScoresData } from './scores-data';

type Direction = 'highest' | 'lowest';

const DIRECTIONS: Record<Direction, string> = { highest: 'highest first', lowest: 'lowest first' };

export function App({ data }: { data: ScoresData }) {
  const { title, images, columns } = data;
  const [column, setColumn] = useState(0);
  const { name, values } = columns[column]!;
  const prompted = images.some(({ prompt }) => prompt !== '');
  const parts = { overview: 'Overview', images: 'Images', ...(prompted && { prompts: 'Prompts' }) };
  return (
    <>
      <SkipLink to="overview" />
      <Header title={title} parts={parts} />
      <main>
        <Panel id="overview" title="Overview">
          <div class="toolbar">
            <label class="select">
              Look at{' '}
              <select value={column} onChange={(event) => setColumn(Number(event.currentTarget.value))}>
                {columns.map((each, i) => (
                  <option key={each.name} value={i}>
                    {each.name}
                  </option>
                ))}
              </select>
            </label>
          </div>
          <Overview name={name} values={values} count={images.length} />
        </Panel>
        <Images key={column} data={data} column={column} />
        {prompted && <Prompts key={`prompts ${column}`} data={data} values={values} />}
      </main>
    </>
  );
}

interface OverviewProps {
  readonly name: string;
  readonly values: readonly (number | null)[];
  readonly count: number;
}

function Overview({ name, values, count }: OverviewProps) {
  const summary = summaryOf(values);
  const histogram = useMemo(() => histogramOf(values), [values]);
  if (!summary || !histogram) return <p class="empty">No image has a number for {name}.</p>;
  const { mean, std, min, max } = summary;
  const missing = count - summary.count;
  return (
    <>
      <div class="tiles">
        <Tile question="Mean" verdict={figure(mean)} because={`Standard deviation ${figure(std)}.`} />
        <Tile
          question="Range"
          verdict={`${figure(min)} – ${figure(max)}`}
          because={min === max ? 'All images have the same.' : 'Lowest and highest.'}
        />
        <Tile
          question="Images"
          verdict={String(count)}
          because={missing > 0 ? `${missing} without ${name}.` : `All of them have ${name}.`}
        />
      </div>
      <div class="charts">
        <Chart
          title={`Distribution of ${name}`}
          note="Share of images"
          lines={[histogramLine(histogram, 'images', '--run-0')]}
          xLabel={name}
        />
      </div>
    </>
  );
}

function Images({ data: { images, columns }, column }: { data: ScoresData; column: number }) {
  const { name, values } = columns[column]!;
  const [query, setQuery] = useState('');
  const [direction, setDirection] = useState<Direction>('highest');
  const [open, setOpen] = useState<number | undefined>();
  const decimals = useMemo(() => decimalsOf(values), [values]);
  const order = useMemo(() => ordered(values, direction), [values, direction]);
  const chosen = order.filter((i) => holdsWords(`${images[i]!.prompt} ${images[i]!.file}`, query));
  return (
    <Panel id="images" title="Images">
      <div class="toolbar">
        <Search value={query} onSearch={setQuery} />
        <Segmented
          label={`Order by ${name}`}
          options={DIRECTIONS}
          value={direction}
          onChange={setDirection}
        />
      </div>
      <ImageGrid
        images={chosen}
        nameOf={(i) => images[i]!.file}
        pictureOf={(i) => (
          <img class="thumbnail" src={images[i]!.thumbnail} alt={altOf(images[i]!)} loading="lazy" />
        )}
        captionOf={(i) => (
          <>
            <b>{fixed(values[i], decimals)}</b>
            <span>{images[i]!.prompt || images[i]!.file}</span>
          </>
        )}
        onOpen={setOpen}
        empty="No image matches."
      />
      {open !== undefined && (
        <Lightbox
          label={images[open]!.file}
          picture={<img class="thumbnail" src={images[open]!.thumbnail} alt={altOf(images[open]!)} />}
          keys={{}}
          image={open}
          order={chosen}
          onOpen={setOpen}
          onClose={() => setOpen(undefined)}
          about={
            <>
              <p class="prompt">{images[open]!.prompt || images[open]!.file}</p>
              <table class="details">
                <tbody>
                  <tr>
                    <th scope="row">file</th>
                    <td>{images[open]!.file}</td>
                  </tr>
                  {columns.map((each) => (
                    <tr key={each.name}>
                      <th scope="row">{each.name}</th>
                      <td>{figure(each.values[open])}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </>
          }
          hint="Up and down: the other images. Escape: close."
        />
      )}
    </Panel>
  );
}

const altOf = ({ prompt, file }: ScoresData['images'][number]) => prompt || file;

/** Images by a column; those without a number last. */
function ordered(values: readonly (number | null)[], direction: Direction): number[] {
  const sign = direction === 'highest' ? -1 : 1;
  return values
    .map((_, i) => i)
    .sort((a, b) => {
      const [x, y] = [values[a] ?? null, values[b] ?? null];
      if (x === null || y === null) return Number(x === null) - Number(y === null) || a - b;
      return sign * (x - y) || a - b;
    });
}

interface Group {
  readonly name: string;
  readonly images: number;
  readonly mean: number | undefined;
  readonly min: number | undefined;
  readonly max: number | undefined;
}

function Prompts({ data: { images }, values }: { data: ScoresData; values: readonly (number | null)[] }) {
  const by = (keyOf: (image: ScoresData['images'][number]) => string | null): Group[] => {
    const groups = new Map<string, (number | null)[]>();
    for (const [i, image] of images.entries()) {
      const key = keyOf(image);
      if (key === null || key === '') continue;
      groups.set(key, [...(groups.get(key) ?? []), values[i] ?? null]);
    }
    return [...groups].map(([name, group]) => {
      const { mean, min, max } = summaryOf(group) ?? {};
      return { name, images: group.length, mean, min, max };
    });
  };
  const [kinds, prompts] = useMemo(
    () => [by(({ kind }) => kind?.replaceAll('_', ' ') ?? null), by(({ prompt }) => prompt)],
    [images, values],
  );
  const decimals = decimalsOf(values);
  const table = (title: string, rows: readonly Group[]) => (
    <SortableTable
      caption={`By ${title.toLowerCase()} (${rows.length})`}
      columns={columnsOf(title, decimals)}
      rows={rows}
      keyOf={({ name }) => name}
      sortedBy={1}
    />
  );
  return (
    <Panel id="prompts" title="Prompts">
      <div class="tables">
        {kinds.length > 0 && table('Kind', kinds)}
        {table('Prompt', prompts)}
      </div>
    </Panel>
  );
}

const columnsOf = (title: string, decimals: number | undefined): Column<Group>[] => [
  {
    title,
    sortBy: ({ name }) => name,
    show: ({ name, images }) => (
      <>
        <span class="clamp" title={name}>
          {name}
        </span>{' '}
        {images > 1 && <small class="count">{plural(images, 'image')}</small>}
      </>
    ),
  },
  { title: 'Mean', sortBy: ({ mean }) => mean, show: ({ mean }) => fixed(mean, decimals) },
  { title: 'Lowest', sortBy: ({ min }) => min, show: ({ min }) => fixed(min, decimals) },
  { title: 'Highest', sortBy: ({ max }) => max, show: ({ max }) => fixed(max, decimals) },
];
