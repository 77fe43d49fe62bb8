import type { PromptExample } from '../examples';
import { GENEVAL_TAGS, type GenevalMetadata, type GenevalTag } from '../geneval/metadata';
import { pick, pickWeighted, type Random, randomAt } from '../random';
import { type Caption, captionFamilies, captionMetadata, captionText, captionVocabulary } from './captions';
import { COLORS, type ColorName, PALETTE } from './colors';
import { FAULTS, type Fault, plantFault, possibleFaults } from './faults';
import { paintCaption, placeObjects, type SceneObject } from './layout';
import { DEFAULT_SHAPES, SHAPES, type Shape } from './outlines';
import { drawBackground, type Picture, renderPicture } from './render';
import { pickCaption, type SceneSplit, splitFamilies } from './splits';

export interface ShapeScenesOptions {
  /** Side of the images in pixels, at least 16. At 64 and above the checker reads every scene. */
  size: number;
  /** Default 0. */
  seed?: number;
  /** `train` (default) and `test` share no combination of shapes, colours, counts and relations. */
  split?: SceneSplit;
  /** GenEval's task kinds in use; default all six. */
  kinds?: readonly GenevalTag[];
  /** Relative weights of the kinds in the stream; a kind not named weighs 1. */
  weights?: Partial<Record<GenevalTag, number>>;
  /** Default circle, square, triangle, star; cross and ring are there too. */
  shapes?: readonly Shape[];
  /** Default all eight. */
  colors?: readonly ColorName[];
  /** Largest rotation to either side, radians; default 0.25. */
  tilt?: number;
  /** Fraction of the combinations that is held out for `test`; default 0.25. */
  heldOut?: number;
  /** Draws this fraction of the scenes with one planted fault; default 0. */
  faultRate?: number;
  /** The faults to plant where the caption allows them; default all four. */
  faults?: readonly Fault[];
}

export interface ShapeScene extends PromptExample {
  metadata: GenevalMetadata & Record<string, unknown>;
  /** Pixels of [size, size, 3], row by row, in [0, 1]. */
  image: Float32Array;
  size: number;
  /** What is drawn. */
  objects: SceneObject[];
  /** The planted fault, where there is one. */
  fault?: Fault;
}

export interface SceneBatch {
  /** [count, size, size, 3] in [0, 1]. */
  images: Float32Array;
  shape: [number, number, number, number];
  prompts: string[];
  metadata: (GenevalMetadata & Record<string, unknown>)[];
}

export interface ShapeScenes extends Iterable<ShapeScene> {
  readonly size: number;
  /** Every distinct prompt of the split, in a fixed order. */
  readonly prompts: readonly (PromptExample & { metadata: GenevalMetadata & Record<string, unknown> })[];
  /** Every word of the prompts (of both splits). */
  readonly vocabulary: readonly string[];
  /** Scene number `index`: a function of the seed and the index alone. */
  scene(index: number): ShapeScene;
  /** Prompt and metadata of scene number `index`, without drawing it. */
  example(index: number): PromptExample & { metadata: GenevalMetadata & Record<string, unknown> };
  /** Scenes without end, from `start` (default 0). */
  from(start: number): IterableIterator<ShapeScene>;
}

/**
 * An endless stream of drawn scenes with compositional prompts ("a red circle left of a blue star") and
 * metadata in GenEval's schema. Scenes are addressed by index, so that workers can share the stream and a
 * run can resume. The same scene at another size shows the same objects at the same places.
 *
 * @throws when an option is out of range, a kind or a split has no prompt, or a name is unknown.
 */
export function shapeScenes(options: ShapeScenesOptions): ShapeScenes {
  const settings = checkOptions(options);
  const { size, seed, split, kinds, shapes, colors, heldOut } = settings;
  const families = kinds.map((kind) =>
    splitFamilies(captionFamilies(kind, shapes, colors), split, heldOut, kind),
  );
  families.forEach((family, i) => {
    if (family.length === 0)
      throw new Error(`shapeScenes: no prompt of kind "${kinds[i]}" with these options`);
  });
  const weights = kinds.map((kind) => settings.weights[kind] ?? 1);

  const captionAt = (random: Random): Caption =>
    pickCaption(families[pickWeighted(random, weights)]!, random);
  const randomFor = (index: number): Random => {
    if (!Number.isSafeInteger(index) || index < 0) {
      throw new RangeError(`shapeScenes: the index of a scene is a whole number from 0, not ${index}`);
    }
    return randomAt(seed, index);
  };
  const draw = (index: number, out: Float32Array, offset: number): Omit<ShapeScene, 'image' | 'size'> => {
    const random = randomFor(index);
    const caption = captionAt(random);
    const { picture, fault } = compose(caption, settings, random);
    renderPicture(picture, size, out, offset);
    const scene = { ...toExample(caption), objects: picture.objects };
    return fault ? { ...scene, fault } : scene;
  };
  const scene = (index: number): ShapeScene => {
    const image = new Float32Array(size * size * 3);
    return { ...draw(index, image, 0), image, size };
  };
  function* from(start: number): IterableIterator<ShapeScene> {
    for (let index = start; ; index++) yield scene(index);
  }
  const stream: ShapeScenes = {
    size,
    prompts: families.flat().flatMap(({ captions }) => captions.map(toExample)),
    vocabulary: captionVocabulary(shapes, colors),
    scene,
    example: (index) => toExample(captionAt(randomFor(index))),
    from,
    [Symbol.iterator]: () => from(0),
  };
  drawers.set(stream, draw);
  return stream;
}

type Draw = (index: number, out: Float32Array, offset: number) => Omit<ShapeScene, 'image' | 'size'>;
const drawers = new WeakMap<ShapeScenes, Draw>();

/**
 * Draws scenes `start` … `start + count - 1` into one array, ready for `tf.tensor4d(images, shape)`.
 *
 * @param out reused when given; its length must be count · size² · 3
 */
export function sceneBatch(
  scenes: ShapeScenes,
  start: number,
  count: number,
  out?: Float32Array,
): SceneBatch {
  const { size } = scenes;
  const length = size * size * 3;
  const images = out ?? new Float32Array(count * length);
  if (images.length !== count * length) {
    throw new Error(`sceneBatch: out holds ${images.length} values, ${count} images need ${count * length}`);
  }
  const draw = drawers.get(scenes);
  if (!draw) throw new Error('sceneBatch: the first argument must come from shapeScenes()');
  const drawn = Array.from({ length: count }, (_, i) => draw(start + i, images, i * length));
  return {
    images,
    shape: [count, size, size, 3],
    prompts: drawn.map(({ prompt }) => prompt),
    metadata: drawn.map(({ metadata }) => metadata),
  };
}

function toExample(
  caption: Caption,
): PromptExample & { metadata: GenevalMetadata & Record<string, unknown> } {
  return { prompt: captionText(caption), metadata: { ...captionMetadata(caption) } };
}

function compose(
  caption: Caption,
  { colors, shapes, tilt, faultRate, faults }: Settings,
  random: Random,
): { picture: Picture; fault: Fault | undefined } {
  let painted = paintCaption(caption, colors, random);
  let relation = caption.relation;
  const possible =
    random() < faultRate ? possibleFaults(caption, shapes, colors).filter((f) => faults.includes(f)) : [];
  const fault = possible.length > 0 ? pick(random, possible) : undefined;
  if (fault) ({ painted, relation } = plantFault(fault, caption, painted, shapes, colors, random));
  const picture: Picture = {
    objects: placeObjects(painted, relation, tilt, random),
    background: drawBackground(random),
    jitter: painted.map(() => [0, 0, 0].map(() => (random() - 0.5) * 0.06) as [number, number, number]),
    grainSeed: Math.floor(random() * 2 ** 32),
  };
  return { picture, fault };
}

type Settings = Required<ShapeScenesOptions>;

function checkOptions(options: ShapeScenesOptions): Settings {
  const settings: Settings = {
    size: Number.NaN,
    seed: 0,
    split: 'train',
    kinds: GENEVAL_TAGS,
    weights: {},
    shapes: DEFAULT_SHAPES,
    colors: COLORS,
    tilt: 0.25,
    heldOut: 0.25,
    faultRate: 0,
    faults: FAULTS,
    ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
  };
  const { size, seed, split, heldOut, faultRate } = settings;
  const fail = (what: string): never => {
    throw new RangeError(`shapeScenes: ${what}`);
  };
  const names = (list: readonly string[], known: readonly string[], option: string) => {
    if (list.length === 0) fail(`${option} is empty`);
    if (new Set(list).size < list.length) fail(`${option} names something twice`);
    for (const name of list) {
      if (!known.includes(name)) fail(`${option}: "${name}" is none of ${known.join(', ')}`);
    }
  };
  if (!Number.isInteger(size) || size < 16) fail(`size must be a whole number from 16, not ${size}`);
  if (!Number.isSafeInteger(seed) || seed < 0) fail(`seed must be a whole number from 0, not ${seed}`);
  if (!['train', 'test', 'all'].includes(split)) fail(`split must be train, test or all, not ${split}`);
  names(settings.kinds, GENEVAL_TAGS, 'kinds');
  names(settings.shapes, SHAPES, 'shapes');
  names(settings.colors, Object.keys(PALETTE), 'colors');
  if (settings.faults.length > 0) names(settings.faults, FAULTS, 'faults');
  for (const [kind, weight] of Object.entries(settings.weights)) {
    if (!settings.kinds.includes(kind as GenevalTag)) fail(`weights: "${kind}" is not one of kinds`);
    if (!(weight >= 0) || weight === Number.POSITIVE_INFINITY)
      fail(`weights.${kind} must be a number ≥ 0, not ${weight}`);
  }
  if (settings.kinds.every((kind) => settings.weights[kind] === 0)) fail('every kind has weight 0');
  if (!(heldOut > 0 && heldOut < 1)) fail(`heldOut must lie between 0 and 1, not ${heldOut}`);
  if (!(faultRate >= 0 && faultRate <= 1)) fail(`faultRate must lie in [0, 1], not ${faultRate}`);
  if (!(settings.tilt >= 0)) fail(`tilt must be an angle ≥ 0, not ${settings.tilt}`);
  return settings;
}
