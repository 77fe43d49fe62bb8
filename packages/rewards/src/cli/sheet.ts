import { type ScoredFolder, summary } from './tables';

/** A page of its own: every image with its scores, best first; buttons sort by each detail. */
export function scoresHtml(scored: ScoredFolder, thumbnails: readonly string[]): string {
  const { rewards, images, scores, details } = scored;
  const names = ['score', ...Object.keys(details)];
  const columns = [scores, ...Object.values(details)];
  const order = images.map((_, i) => i).sort((a, b) => descending(scores[a]!, scores[b]!) || a - b);
  const cards = order.map((i) => {
    const { file, prompt } = images[i]!;
    const values = columns.map((column) => (Number.isNaN(column[i]!) ? null : column[i]!));
    const rows = names
      .map((name, c) => `<tr><th>${escaped(name).replaceAll('_', '_<wbr>')}<td>${shown(columns[c]![i]!)}`)
      .join('');
    return `<article data-values="${JSON.stringify(values)}"><img src="${thumbnails[i]}" alt="" loading="lazy"><h2>${escaped(file)}</h2><p>${escaped(prompt)}</p><table>${rows}</table></article>`;
  });
  const { mean, std, min, max } = summary(scores);
  const title = escaped(rewards.join(' + '));
  const buttons = names.map(
    (name, c) =>
      `<button type="button" data-column="${c}" aria-pressed="${c === 0}">${escaped(name)}</button>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}: ${images.length} images</title><style>${STYLE}</style></head><body>
<header><h1>${title}</h1>
<p>${images.length} images, mean ${shown(mean)}, standard deviation ${shown(std)}, from ${shown(min)} to ${shown(max)}</p>
<nav>Sort by ${buttons.join(' ')}</nav></header>
<main>${cards.join('\n')}</main><script>${SCRIPT}</script></body></html>
`;
}

/** Higher first, what is not a number last. */
function descending(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return b - a;
}

const shown = (value: number): string => (Number.isNaN(value) ? '–' : String(Number(value.toPrecision(4))));

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string): string => text.replace(/[&<>"]/g, (character) => ENTITIES[character]!);

const STYLE = `
body { font: 14px/1.4 system-ui, sans-serif; margin: 0 24px 24px; color: #222; background: #fafafa }
header { position: sticky; top: 0; background: #fafafa; padding: 12px 0; border-bottom: 1px solid #ddd }
h1 { font-size: 20px; margin: 0 } header p { margin: 4px 0 }
button { font: inherit; border: 1px solid #bbb; border-radius: 4px; background: #fff; cursor: pointer }
button[aria-pressed=true] { background: #246; color: #fff }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 16px; margin-top: 16px }
article { background: #fff; border: 1px solid #ddd; border-radius: 6px; padding: 8px; overflow: hidden }
img { box-sizing: border-box; width: 100%; display: block; border: 1px solid #eee; border-radius: 4px }
h2 { font-size: 13px; margin: 6px 0 0; overflow-wrap: anywhere } article p { margin: 2px 0; color: #555; overflow-wrap: anywhere }
table { border-spacing: 0; width: 100% } tr:first-child { font-weight: bold }
th { font-weight: inherit; text-align: left; vertical-align: top; color: #555; overflow-wrap: anywhere }
td { padding-left: 8px; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
`;

const SCRIPT = `
const main = document.querySelector('main'), cards = [...main.children];
const buttons = [...document.querySelectorAll('button')];
const value = (card, column) => JSON.parse(card.dataset.values)[column] ?? -Infinity;
for (const button of buttons) button.onclick = () => {
  for (const other of buttons) other.setAttribute('aria-pressed', other === button);
  const column = button.dataset.column, keys = new Map(cards.map((card) => [card, value(card, column)]));
  main.append(...cards.sort((a, b) => (keys.get(b) > keys.get(a)) - (keys.get(b) < keys.get(a))));
};
`;
