/** Just enough SVG for the site's pictures: panels with axes, lines and bars, readable on light and dark pages. */

export const INK = '#8a8f98';
/** Letters keep a readable size where a page shows a picture of 900 units on 624 pixels. */
const FONT = 17;

export const COLOURS = ['#7c6cf0', '#2a9d8f', '#e0912d', '#d1495b'] as const;

export interface Panel {
  /** Place of the plot within the picture, pixels. */
  left: number;
  top: number;
  width: number;
  height: number;
  /** Ranges of the axes, in the units of the data. */
  x: readonly [number, number];
  y: readonly [number, number];
}

const round = (value: number) => Math.round(value * 10) / 10;

/** From data to pixels. */
export const at = (p: Panel, x: number, y: number): [number, number] => [
  round(p.left + ((x - p.x[0]) / (p.x[1] - p.x[0])) * p.width),
  round(p.top + p.height - ((y - p.y[0]) / (p.y[1] - p.y[0])) * p.height),
];

export const text = (x: number, y: number, content: string, attributes = '') =>
  `<text x="${round(x)}" y="${round(y)}" ${attributes}>${content}</text>`;

/** A line through points of the data. */
export function line(p: Panel, points: readonly (readonly [number, number])[], attributes: string): string {
  return `<polyline points="${points.map(([x, y]) => at(p, x, y).join(',')).join(' ')}" fill="none" ${attributes}/>`;
}

/** A title above the panel and ticks at its left and lower edges. */
export function axes(
  p: Panel,
  title: string,
  ticks: { x: readonly number[]; y: readonly number[]; xLabel?: string; percent?: boolean },
): string {
  const [left, bottom] = [p.left, p.top + p.height];
  const format = (value: number) => (ticks.percent ? `${Math.round(100 * value)} %` : String(value));
  return [
    `<path d="M${left} ${p.top}V${bottom}H${left + p.width}" fill="none" stroke="${INK}" stroke-width="1"/>`,
    text(left, p.top - 10, title, 'font-weight="600"'),
    ...ticks.x.map((value) => text(at(p, value, 0)[0], bottom + 21, String(value), 'text-anchor="middle"')),
    ...ticks.y.map((value) =>
      text(left - 6, at(p, p.x[0], value)[1] + 6, format(value), 'text-anchor="end"'),
    ),
    ticks.xLabel ? text(left + p.width / 2, bottom + 44, ticks.xLabel, 'text-anchor="middle"') : '',
  ].join('\n');
}

/** Names of the lines in their colours, one below the other. */
export const legend = (x: number, y: number, names: readonly string[]) =>
  names.map((name, i) => text(x, y + 25 * i, name, `fill="${COLOURS[i]}" font-weight="600"`)).join('\n');

/** The whole picture; `label` says in words what it shows. */
export const picture = (width: number, height: number, label: string, parts: readonly string[]) =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}"
  font-family="system-ui, sans-serif" font-size="${FONT}"><style>text:not([fill]){fill:${INK}}</style>
${parts.join('\n')}
</svg>
`;
