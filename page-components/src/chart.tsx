/** A line chart by uPlot: hover, zoom by dragging, keys, and one cursor and one zoom for all charts of a page. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { linearRange, logRange, rangeOf, ticksOf, tickText } from './axis';
import { figure } from './numbers';
import { useTheme } from './theme';

export interface Line {
  readonly label: string;
  readonly x: readonly (number | null)[];
  readonly y: readonly (number | null)[];
  /** A custom property of the style sheet, such as `--run-0`, or a colour. */
  readonly color: string;
  /** Thin and pale: what lies behind a smoothed line. Not in the legend. */
  readonly faint?: boolean;
  readonly dashed?: boolean;
  /** Draws a point for each value: for lines of a few. */
  readonly dots?: boolean;
  /** Draws steps and fills them: for histograms, whose x are the left edges. */
  readonly steps?: boolean;
}

/** Pixels of the x axis's name, below its numbers. */
const LABEL = 16;

/** A part of the x axis that all charts show; undefined shows everything. */
export interface Zoom {
  readonly range: readonly [number, number] | undefined;
  readonly set: (range: readonly [number, number] | undefined) => void;
}

export interface ChartProps {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly xLabel: string;
  /** What the number is, in a sentence. */
  readonly note?: string | undefined;
  readonly log?: boolean;
  readonly height?: number;
  readonly zoom?: Zoom;
  /** Charts with one key move their cursors together. */
  readonly sync?: string;
}

export function Chart(props: ChartProps) {
  const { title, lines, xLabel, note, log = false, height = 190, zoom, sync = 'page' } = props;
  const theme = useTheme();
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const visible = useVisible(holder);
  const [at, setAt] = useState<number | null>(null);
  const table = useMemo(() => joined(lines, log), [lines, log]);
  // What makes a new chart; values alone are handed to the one there is.
  const shape = JSON.stringify([
    lines.map(({ label, color, faint, dashed, dots, steps }) => [label, color, faint, dashed, dots, steps]),
    log,
    xLabel,
    height,
    theme,
  ]);
  const zoomOf = useRef(zoom);
  zoomOf.current = zoom;

  useEffect(() => {
    const element = holder.current;
    if (!element || !visible) return;
    const style = getComputedStyle(element);
    const color = (name: string) => (name.startsWith('--') ? style.getPropertyValue(name).trim() : name);
    const axis = {
      stroke: color('--soft'),
      grid: { stroke: color('--line'), width: 1 },
      ticks: { show: false },
      font: '12px system-ui, sans-serif',
    };
    const chart = new uPlot(
      {
        width: element.clientWidth,
        height: height + LABEL,
        legend: { show: false },
        cursor: {
          sync: { key: sync, setSeries: false },
          drag: { x: true, y: false, setScale: false },
          points: { size: 7 },
        },
        scales: { x: { time: false }, y: { distr: log ? 3 : 1, range: log ? logRange : linearRange } },
        axes: [
          {
            ...axis,
            values: (_, ticks) => ticks.map((tick) => figure(tick)),
            size: 24,
            label: xLabel,
            labelSize: LABEL,
            labelFont: '12px system-ui, sans-serif',
            // No half epochs.
            ...(table[0].every(Number.isInteger) && { incrs: WHOLE_STEPS }),
          },
          {
            ...axis,
            values: (_, ticks, __, ___, step) =>
              ticks.map((tick) => (tick === null ? '' : log ? figure(tick) : tickText(tick, step))),
            size: 58,
            ...(!log && { splits: ticksOf }),
          },
        ],
        series: [
          {},
          ...lines.map(({ label, color: name, faint, dashed, dots, steps }) => ({
            label,
            stroke: color(name),
            width: faint ? 1 : 2,
            alpha: faint ? 0.3 : 1,
            spanGaps: true,
            ...(dashed && { dash: [5, 4] }),
            ...(steps && { paths: uPlot.paths.stepped!({ align: 1 }), fill: `${color(name)}33` }),
            points: { show: dots ?? false, size: 6, fill: color(name) },
          })),
        ],
        hooks: {
          setCursor: [(self) => setAt(self.cursor.idx ?? null)],
          setSelect: [
            (self) => {
              const { left, width } = self.select;
              if (width > 3)
                zoomOf.current?.set([self.posToVal(left, 'x'), self.posToVal(left + width, 'x')]);
              self.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            },
          ],
        },
      },
      table,
      element,
    );
    chart.over.addEventListener('dblclick', () => zoomOf.current?.set(undefined));
    plot.current = chart;
    const resize = new ResizeObserver(() =>
      chart.setSize({ width: element.clientWidth, height: height + LABEL }),
    );
    resize.observe(element);
    return () => {
      resize.disconnect();
      chart.destroy();
      plot.current = undefined;
    };
  }, [visible, shape]);

  useEffect(() => {
    const chart = plot.current;
    if (!chart) return;
    if (chart.data !== table) chart.setData(table, false);
    const [low, high] = zoom?.range ?? rangeOf(table[0]);
    chart.setScale('x', { min: low, max: high });
  }, [visible, shape, table, zoom?.range]);

  // Nobody points at the chart: what each line came to. The last bar of a histogram says nothing.
  const resting = at === null && lines.some(({ steps }) => steps);
  const shown = at ?? table[0].length - 1;
  const x = table[0][shown] ?? null;
  const valueAt = (i: number) => (at === null ? lastNumber(table[i + 1]) : table[i + 1]?.[at]) ?? null;
  // Of a smoothed line what was measured, which lies behind it.
  const values = lines.flatMap(({ label, color, faint }, i) => {
    const measured = lines.findIndex((line) => line.faint && line.label === label && line.color === color);
    return faint ? [] : [{ label, color, value: valueAt(measured < 0 ? i : measured) }];
  });
  const spoken = `${xLabel} ${figure(x)}: ${values.map(({ label, value }) => `${label} ${figure(value)}`).join(', ')}`;

  const onKey = (event: KeyboardEvent) => {
    const chart = plot.current;
    if (!chart) return;
    const last = table[0].length - 1;
    const step = event.shiftKey ? 10 : 1;
    const moves: Record<string, number> = {
      ArrowLeft: shown - step,
      ArrowRight: shown + step,
      Home: 0,
      End: last,
    };
    const target = moves[event.key];
    if (target !== undefined) {
      const index = Math.max(0, Math.min(last, target));
      chart.setCursor({ left: chart.valToPos(table[0][index]!, 'x'), top: chart.over.clientHeight / 2 });
    } else if (event.key === '+' || event.key === '-') {
      const { min = 0, max = 1 } = chart.scales.x as { min?: number; max?: number };
      const factor = event.key === '+' ? 0.25 : 1;
      const middle = x ?? (min + max) / 2;
      const [low, high] = rangeOf(table[0]);
      const half = (max - min) * factor;
      const range = [Math.max(low, middle - half), Math.min(high, middle + half)] as const;
      zoom?.set(range[0] <= low && range[1] >= high ? undefined : range);
    } else if (event.key === '0' || event.key === 'Escape') {
      zoom?.set(undefined);
    } else return;
    event.preventDefault();
  };

  return (
    <figure class="chart">
      <figcaption>
        <b>{title}</b>
        {note && <small>{note}</small>}
      </figcaption>
      <div class="legend" aria-hidden="true">
        {!resting && <span>{at === null ? 'latest' : `${xLabel} ${figure(x)}`}</span>}
        {values.map(({ label, color, value }) => (
          <span key={label}>
            <i style={{ background: color.startsWith('--') ? `var(${color})` : color }} />
            {label} {!resting && <b>{figure(value)}</b>}
          </span>
        ))}
      </div>
      <div
        ref={holder}
        class="plot"
        style={{ minHeight: `${height}px` }}
        role="slider"
        tabIndex={0}
        aria-label={`${title}, chart`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, table[0].length - 1)}
        aria-valuenow={Math.max(0, shown)}
        aria-valuetext={spoken}
        onKeyDown={onKey}
      />
    </figure>
  );
}

/** A small line without axes. */
export function Sparkline({
  values,
  color = '--run-0',
  label,
}: {
  values: readonly (number | null)[];
  color?: string;
  label: string;
}) {
  const theme = useTheme();
  const holder = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = holder.current;
    if (!element || values.length < 2) return;
    const stroke = getComputedStyle(element).getPropertyValue(color).trim();
    const chart = new uPlot(
      {
        width: element.clientWidth,
        height: 36,
        legend: { show: false },
        cursor: { show: false },
        axes: [{ show: false }, { show: false }],
        scales: { x: { time: false }, y: { range: linearRange } },
        padding: [3, 0, 3, 0],
        series: [{}, { stroke, width: 1.5, spanGaps: true, points: { show: false } }],
      },
      [values.map((_, i) => i), [...values]],
      element,
    );
    // Its place may be hidden still, in a dialog that opens.
    const resize = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: 36 }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      chart.destroy();
    };
  }, [values, theme]);
  return <div class="sparkline" ref={holder} role="img" aria-label={label} />;
}

/** Numbers that fall into buckets of equal width from `low` to `high`. */
export interface Buckets {
  readonly low: number;
  readonly high: number;
  readonly counts: readonly number[];
}

/** The line of a histogram: each bucket's share of what was counted. */
export function histogramLine({ low, high, counts }: Buckets, label: string, color: string): Line {
  const total = counts.reduce((a, b) => a + b, 0) || 1;
  const width = (high - low) / counts.length;
  // The last step needs a right edge.
  const x = Array.from({ length: counts.length + 1 }, (_, i) => low + i * width);
  return { label, x, y: [...counts, 0].map((count) => count / total), color, steps: true };
}

/** Steps between the ticks of an axis of whole numbers. */
const WHOLE_STEPS = Array.from({ length: 12 }, (_, power) =>
  [1, 2, 5].map((step) => step * 10 ** power),
).flat();

type Table = [number[], ...(number | null | undefined)[][]];

/** One x column for all lines. */
function joined(lines: readonly Line[], log: boolean): Table {
  const drawable = (value: number | null | undefined) =>
    value === undefined || value === null || (log && value <= 0) ? null : value;
  const tables = lines.map(({ x, y }) => {
    const kept = x.flatMap((value, i) => (value === null ? [] : [i]));
    return [kept.map((i) => x[i]!), kept.map((i) => drawable(y[i]))] as [number[], (number | null)[]];
  });
  if (tables.length === 0) return [[]];
  return tables.length === 1 ? (tables[0] as Table) : (uPlot.join(tables) as unknown as Table);
}

function lastNumber(column: readonly (number | null | undefined)[] = []): number | undefined {
  for (let i = column.length - 1; i >= 0; i--) if (typeof column[i] === 'number') return column[i] as number;
  return undefined;
}

/** Whether an element has been near the screen: what nobody scrolls to is not drawn. */
function useVisible(element: { readonly current: Element | null }): boolean {
  const [visible, setVisible] = useState(false);
  useEffect(() => {
    if (!element.current || visible) return;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some(({ isIntersecting }) => isIntersecting)) setVisible(true);
      },
      { rootMargin: '300px' },
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [visible]);
  return visible;
}
