/** Self-contained HTML reports: text, tables, charts and pictures in one file. */
import { escapeHtml, htmlDocument, inlineStyle } from '@flow-grpo/page-components/document';

export type Section =
  | { readonly title: string; readonly text: string }
  | {
      readonly title: string;
      readonly header: readonly string[];
      readonly rows: readonly (readonly string[])[];
    }
  | { readonly title: string; readonly svg: string }
  | { readonly title: string; readonly png: Buffer; readonly alt: string };

/** A page that needs no other file and no network. */
export const htmlReport = (title: string, sections: readonly Section[]): string =>
  htmlDocument(
    title,
    [inlineStyle(STYLE)],
    [`<h1>${escapeHtml(title)}</h1>`, `<main>\n${htmlSections(sections)}\n</main>`],
  );

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; color: #23222f; background: #f7f7fb; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }
table { border-collapse: collapse; } th, td { padding: .3rem .8rem; border-bottom: 1px solid #dcdbe8; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; } img, svg { max-width: 100%; height: auto; border-radius: 8px; } svg { width: 100%; min-width: 30rem; max-width: 52rem; } .wide { overflow-x: auto; } td { white-space: nowrap; }
@media (prefers-color-scheme: dark) { body { color: #f1eff5; background: #10111d; } th, td { border-color: #33354f; } svg { filter: invert(0.92) hue-rotate(180deg); } }
`;

function htmlSections(sections: readonly Section[]): string {
  return sections
    .map((section) => `<section>\n<h2>${escapeHtml(section.title)}</h2>\n${sectionBody(section)}\n</section>`)
    .join('\n');
}

function sectionBody(section: Section): string {
  if ('text' in section) return wide(section.title, `<pre>${escapeHtml(section.text)}</pre>`);
  if ('svg' in section) return wide(section.title, section.svg);
  if ('png' in section) {
    return `<img alt="${escapeHtml(section.alt)}" src="data:image/png;base64,${section.png.toString('base64')}">`;
  }
  const row = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  const table = `<table>\n${row(section.header, 'th')}\n${section.rows.map((cells) => row(cells, 'td')).join('\n')}\n</table>`;
  return wide(section.title, table);
}

/** Scrolls by itself on a narrow screen, by keys as well. */
const wide = (title: string, html: string) =>
  `<div class="wide" role="region" aria-label="${escapeHtml(title)}" tabindex="0">${html}</div>`;
