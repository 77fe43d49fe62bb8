import type { GenevalMetadata, GenevalObject, GenevalRelation, GenevalTag } from '../geneval/metadata';
import { GENEVAL_RELATIONS } from '../geneval/metadata';
import type { ColorName } from './colors';
import type { Shape } from './outlines';

/** One kind of thing a prompt asks for; `color` is left out where the prompt leaves it free. */
export interface Asked {
  shape: Shape;
  color?: ColorName;
}

/** What a prompt asks for, before it becomes words. */
export interface Caption {
  kind: GenevalTag;
  /** In the order of the words: "a circle left of a square" has the circle first. */
  asked: Asked[];
  /** How many of `asked[0]`; 1 unless the kind is counting. */
  count: number;
  /** Where `asked[0]` stands, seen from `asked[1]`. */
  relation?: GenevalRelation;
}

const NUMBER_WORDS = ['zero', 'one', 'two', 'three', 'four', 'five', 'six'];
const COUNTS = [2, 3, 4];
const OPPOSITE: Record<GenevalRelation, GenevalRelation> = {
  'left of': 'right of',
  'right of': 'left of',
  above: 'below',
  below: 'above',
};

const plural = (shape: Shape) => (shape === 'cross' ? 'crosses' : `${shape}s`);
const describe = ({ shape, color }: Asked) =>
  `${color === 'orange' ? 'an' : 'a'} ${color ? `${color} ` : ''}${shape}`;

export function captionText({ kind, asked, count, relation }: Caption): string {
  const [first, second] = asked as [Asked, Asked | undefined];
  if (kind === 'counting') {
    return `${NUMBER_WORDS[count]} ${first.color ? `${first.color} ` : ''}${plural(first.shape)}`;
  }
  return second ? `${describe(first)} ${relation ?? 'and'} ${describe(second)}` : describe(first);
}

/**
 * GenEval's metadata. As there, the second object of a position prompt comes first, so that the first one can
 * point at it: "a circle left of a square" includes the square, then the circle at ["left of", 0].
 */
export function captionMetadata(caption: Caption): GenevalMetadata {
  const { kind, asked, count, relation } = caption;
  const include = asked.map(({ shape, color }): GenevalObject => {
    const object: GenevalObject = { class: shape, count };
    if (color) object.color = color;
    return object;
  });
  if (relation) {
    include.reverse();
    include[1]!.position = [relation, 0];
  }
  const metadata: GenevalMetadata = { tag: kind, include, prompt: captionText(caption) };
  if (kind === 'counting') metadata.exclude = [{ class: asked[0]!.shape, count: count + 1 }];
  return metadata;
}

/** The same string for prompts that ask for the same scene, whatever the order of their words. */
export function captionKey(caption: Caption): string {
  const { asked, relation } = caption;
  if (asked.length < 2) return captionText(caption);
  const swapped: Caption = { ...caption, asked: [asked[1]!, asked[0]!] };
  if (relation) swapped.relation = OPPOSITE[relation];
  return [captionText(caption), captionText(swapped)].sort()[0]!;
}

/** Prompts that differ only in the words filled in, and their share of the prompts of one kind. */
export interface CaptionFamily {
  share: number;
  captions: Caption[];
}

/** Every caption of a kind over these shapes and colours. */
export function captionFamilies(
  kind: GenevalTag,
  shapes: readonly Shape[],
  colors: readonly ColorName[],
): CaptionFamily[] {
  const plain = shapes.map((shape): Asked => ({ shape }));
  const colored = shapes.flatMap((shape) => colors.map((color): Asked => ({ shape, color })));
  const pairs = (items: Asked[]) =>
    items.flatMap((a) =>
      items.filter((b) => a.shape !== b.shape && (!a.color || a.color !== b.color)).map((b) => [a, b]),
    );
  const of = (groups: Asked[][], more: Partial<Caption> = {}) =>
    groups.map((asked): Caption => ({ kind, asked, count: 1, ...more }));
  const each = (items: Asked[]) => items.map((item) => [item]);
  const counted = (items: Asked[]) => COUNTS.flatMap((count) => of(each(items), { count }));
  const placed = (items: Asked[]) => GENEVAL_RELATIONS.flatMap((relation) => of(pairs(items), { relation }));

  switch (kind) {
    case 'single_object':
      return [{ share: 1, captions: of(each(plain)) }];
    case 'colors':
      return [{ share: 1, captions: of(each(colored)) }];
    case 'two_object':
      return [{ share: 1, captions: of(pairs(plain)) }];
    case 'color_attr':
      return [{ share: 1, captions: of(pairs(colored)) }];
    case 'counting':
      return [
        { share: 1, captions: counted(plain) },
        { share: 2, captions: counted(colored) },
      ];
    case 'position':
      return [
        { share: 1, captions: placed(plain) },
        { share: 1, captions: placed(colored) },
      ];
  }
}

/** Every word the prompts use, in a fixed order: what a small tokenizer needs. */
export function captionVocabulary(shapes: readonly Shape[], colors: readonly ColorName[]): string[] {
  const relations = GENEVAL_RELATIONS.flatMap((relation) => relation.split(' '));
  const numbers = COUNTS.map((count) => NUMBER_WORDS[count]!);
  return [
    ...new Set(['a', 'an', 'and', ...relations, ...numbers, ...shapes, ...shapes.map(plural), ...colors]),
  ];
}
