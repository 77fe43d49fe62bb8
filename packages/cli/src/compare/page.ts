/** A comparison as a page, and as a table in Markdown. */
import { lineChart } from '../report/chart';
import { htmlReport, type Section } from '../report/html';
import type { CurvePoint, Estimate, SettingSummary } from './statistics';

const COLORS = ['#246', '#c50', '#393', '#939', '#a80', '#088', '#833', '#555'];

/** What is compared, in words. */
export interface Comparison {
  readonly measure: string;
  readonly summaries: readonly SettingSummary[];
}

/** The page: the table, and the measure over images and over seconds. */
export function comparisonPage({ measure, summaries }: Comparison): string {
  const [header, ...rows] = tableOf(measure, summaries);
  const chart = (over: string, xLabel: string, x: (point: CurvePoint) => number): Section[] => {
    const series = summaries.flatMap(({ setting, curve }, i) =>
      curve.length > 0
        ? [
            {
              name: setting,
              color: COLORS[i % COLORS.length]!,
              points: curve.map((point) => [x(point), point.value] as const),
            },
          ]
        : [],
    );
    const svg = () => lineChart(series, { title: measure, xLabel });
    return series.length > 0 ? [{ title: `Over ${over}`, svg: svg() }] : [];
  };
  return htmlReport('Comparison', [
    { title: 'Settings', header: header!, rows },
    ...chart('training images', 'images', ({ images }) => images),
    ...chart('seconds of training', 'seconds', ({ seconds }) => seconds),
  ]);
}

/** The table, for a document. */
export function comparisonTable({ measure, summaries }: Comparison): string {
  const [header, ...rows] = tableOf(measure, summaries);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(header!), line(header!.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Cells row by row, the header first. */
function tableOf(measure: string, summaries: readonly SettingSummary[]): string[][] {
  const [first] = summaries;
  const levels = first?.reached.map(({ level }) => level) ?? [];
  const header = [
    'setting',
    'seeds',
    `${measure}, start`,
    'end',
    `end − ${first?.setting}`,
    ...levels.flatMap((level) => [`images to ${level}`, `seconds to ${level}`]),
    'images/s',
    'diversity',
    'near-black',
  ];
  const rows = summaries.map((summary) => [
    summary.setting,
    seedsInWords(summary),
    withError(summary.start),
    withError(summary.end),
    summary.difference
      ? `${withError(summary.difference)} (± ${digits(summary.difference.overImages, 2)} over images)`
      : '–',
    ...summary.reached.flatMap(({ images, seconds }) => [whole(images), whole(seconds)]),
    digits(summary.imagesPerSecond),
    digits(summary.diversity),
    digits(summary.nearBlack),
  ]);
  return [header, ...rows];
}

function seedsInWords({ seeds, failed }: SettingSummary): string {
  const problems = Object.entries(failed).map(([seed, reason]) => `${seed} ${reason}`);
  return problems.length > 0 ? `${seeds.length} (seed ${problems.join(', ')})` : `${seeds.length}`;
}

const withError = ({ mean, error }: Estimate) =>
  Number.isFinite(error) ? `${digits(mean)} ± ${digits(error, 2)}` : digits(mean);
const digits = (value: number, count = 3) =>
  Number.isFinite(value) ? String(Number(value.toPrecision(count))) : '–';
const whole = (value: number) => (Number.isFinite(value) ? String(Math.round(value)) : '–');
