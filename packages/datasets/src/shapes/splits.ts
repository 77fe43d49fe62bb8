import { hashString, pick, pickWeighted, type Random } from '../random';
import { type Caption, type CaptionFamily, captionKey } from './captions';

/** `train` and `test` never share a combination; `all` is both. */
export type SceneSplit = 'train' | 'test' | 'all';

/**
 * Keeps the captions of one side. A combination is held out when the hash of its order-free form falls below
 * `heldOut`, so that "a circle and a square" and "a square and a circle" stay together, and a combination
 * keeps its side when shapes or colours are added. Where the hash leaves a side of the kind empty (there are
 * four single objects), the combination nearest the threshold changes sides.
 *
 * @throws when a kind has fewer than two combinations and so cannot be on both sides.
 */
export function splitFamilies(
  families: CaptionFamily[],
  split: SceneSplit,
  heldOut: number,
  kind: string,
): CaptionFamily[] {
  if (split === 'all') return families.filter(({ captions }) => captions.length > 0);
  const held = heldOutKeys(families, heldOut, kind);
  return families
    .map(({ share, captions }) => ({
      share,
      captions: captions.filter((caption) => held.has(captionKey(caption)) === (split === 'test')),
    }))
    .filter(({ captions }) => captions.length > 0);
}

function heldOutKeys(families: CaptionFamily[], heldOut: number, kind: string): Set<string> {
  const level = (key: string) => hashString(key) / 2 ** 32;
  const keys = [...new Set(families.flatMap(({ captions }) => captions.map(captionKey)))];
  if (keys.length < 2) {
    throw new Error(
      `shapeScenes: "${kind}" has ${keys.length} combination(s) of these shapes and colors, too few for a ` +
        `held-out split; add shapes or colors, leave "${kind}" out of kinds, or use split: 'all'`,
    );
  }
  const ranked = keys.sort((a, b) => level(a) - level(b));
  const below = ranked.filter((key) => level(key) < heldOut).length;
  return new Set(ranked.slice(0, Math.min(Math.max(below, 1), ranked.length - 1)));
}

/** Draws captions: a family by its share, then every caption of it alike. */
export function pickCaption(families: CaptionFamily[], random: Random): Caption {
  const shares = families.map(({ share }) => share);
  return pick(random, families[pickWeighted(random, shares)]!.captions);
}
