/** Self-contained HTML reports: text, tables, charts and pictures in one file. */
import { escapeXml } from './chart';

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
export function htmlReport(title: string, sections: readonly Section[]): string {
  return htmlPage(title, `<main>\n${htmlSections(sections)}\n</main>`);
}

/** The page of a report around a body of your own. */
export function htmlPage(title: string, bodyHtml: string): string {
  return htmlDocument(title, [`<style>\n${STYLE}\n</style>`], `<h1>${escapeXml(title)}</h1>\n${bodyHtml}`);
}

const STYLE = `\
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: white; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; } img, svg { max-width: 100%; height: auto; } pre { overflow-x: auto; }`;

/** An HTML document, from the lines of its head and its body. */
export const htmlDocument = (title: string, head: readonly string[], bodyHtml: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeXml(title)}</title>
${head.join('\n')}
</head>
<body>
${bodyHtml}
</body>
</html>
`;

/** Sections as HTML, without a page around them. */
export function htmlSections(sections: readonly Section[]): string {
  return sections
    .map((section) => `<section>\n<h2>${escapeXml(section.title)}</h2>\n${sectionBody(section)}\n</section>`)
    .join('\n');
}

function sectionBody(section: Section): string {
  if ('text' in section) return `<pre>${escapeXml(section.text)}</pre>`;
  if ('svg' in section) return section.svg;
  if ('png' in section) {
    return `<img alt="${escapeXml(section.alt)}" src="data:image/png;base64,${section.png.toString('base64')}">`;
  }
  const row = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeXml(cell)}</${tag}>`).join('')}</tr>`;
  return `<table>\n${row(section.header, 'th')}\n${section.rows.map((cells) => row(cells, 'td')).join('\n')}\n</table>`;
}
