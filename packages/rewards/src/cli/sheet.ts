import { pageAssetsOf } from '@flow-grpo/page-components/assets';
import { htmlDocument, inlineScript, inlineStyle, NO_SCRIPT } from '@flow-grpo/page-components/document';
import { SCORES, type ScoresData } from './page/scores-data';
import type { ScoredFolder } from './tables';

const pageAssets = pageAssetsOf('@flow-grpo/rewards', import.meta.url);

/** A page of its own: every image with its scores, highest first, in the application of `page/`. */
export async function scoresHtml(scored: ScoredFolder, thumbnails: readonly string[]): Promise<string> {
  const { script, style } = await pageAssets();
  const data = scoresData(scored, thumbnails);
  // Parsed as JSON, which is several times faster than as a script; a `<` in a prompt must not begin anything.
  const json = JSON.stringify(JSON.stringify(data)).replaceAll('<', '\\u003c');
  return htmlDocument(
    `${data.title}: ${data.images.length} images`,
    [inlineStyle(style)],
    [NO_SCRIPT, inlineScript(`globalThis.${SCORES} = JSON.parse(${json});`), inlineScript(script)],
  );
}

function scoresData(scored: ScoredFolder, thumbnails: readonly string[]): ScoresData {
  const { rewards, images, scores, details } = scored;
  const order = images.map((_, i) => i).sort((a, b) => descending(scores[a]!, scores[b]!) || a - b);
  return {
    title: rewards.join(' + '),
    images: order.map((i) => {
      const { file, prompt, metadata = {} } = images[i]!;
      const kind = [metadata.kind, metadata.tag].find((value) => typeof value === 'string') ?? null;
      return { file, prompt, kind: kind as string | null, thumbnail: thumbnails[i]! };
    }),
    columns: Object.entries({ score: scores, ...details }).map(([name, values]) => ({
      name,
      values: order.map((i) => (Number.isFinite(values[i]) ? values[i]! : null)),
    })),
  };
}

/** Higher first, what is not a number last. */
function descending(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return b - a;
}
