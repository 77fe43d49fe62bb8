import {
  checkKeys,
  checkpointChoice,
  fetchPart,
  loadParams,
  type SourceOptions,
  storedShapes,
} from '@flow-grpo/checkpoint-io';
import { castParams, drawParams, type Params, uploadAs, type WeightDtype } from '@flow-grpo/nn';
import { defaultStorage } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { showo2ParameterSpecs } from '../init';
import { SHOWO2_LAYER_BASES } from '../layers';
import { EMBEDDING, LM_HEAD, TRUNK } from '../trunk/trunk';

/** The published models that a new Show-o2 starts from: paths or hub ids. */
export interface Foundations {
  /** Qwen2.5 in transformers' names, such as `Qwen/Qwen2.5-1.5B-Instruct`. */
  languageModel: string;
  /** SigLIP in transformers' names, such as `google/siglip-so400m-patch14-384`. */
  siglip: string;
}

export interface StartOptions extends SourceOptions {
  /** How weights are stored; as for `loadShowo2`. */
  dtype?: WeightDtype;
}

const SIGLIP_LAYERS = 'vision_model.encoder.layers.';
const SIGLIP_POSITIONS = 'vision_model.embeddings.position_embedding.weight';
const POSITIONS = 'position_embedding.weight';

/**
 * A new model's parameters as upstream starts them (`Showo2Qwen2_5` without `load_from_showo`): the language model is
 * Qwen2.5's, its table cut to the configured vocabulary; the semantic path is SigLIP's encoder without the layers that
 * the configuration leaves out, and its position table; all else is drawn, a function of the seed.
 *
 * @throws one error that lists what the two checkpoints lack or hold in other shapes.
 */
export async function showo2FromFoundations(
  { languageModel, siglip }: Foundations,
  config: Showo2Config,
  seed: number,
  options: StartOptions = {},
): Promise<Params> {
  const { dtype = defaultStorage(), signal } = options;
  const specs = showo2ParameterSpecs(config);
  const isTrunk = (name: string) => name.startsWith(TRUNK) || name === LM_HEAD;
  const isSemantic = (name: string) => name.startsWith(SHOWO2_LAYER_BASES.vision) || name === POSITIONS;
  const take = async (
    option: keyof Foundations,
    source: string,
    rename: (name: string) => string,
    mine: (name: string) => boolean,
  ): Promise<Params> => {
    const required = { option, source, files: { weights: checkpointChoice() } };
    const path = (await fetchPart(required, options)).paths.weights;
    const wanted = Object.entries(specs).filter(([name]) => mine(name));
    const found = await shapesIn(path, rename);
    const expected = wanted.map(([name, { shape }]) => [name, shapeOf(name, shape, found[name])] as const);
    checkKeys(Object.fromEntries(expected), found, { what: path, ignore: (name) => !(name in specs) });
    const loaded = await loadParams(path, {
      filter: (name) => mine(rename(name)) && rename(name) in specs,
      rename,
      upload: uploadAs(dtype),
      ...(signal && { signal }),
    });
    return castParams(loaded, dtype);
  };
  const loaded: Params = {};
  try {
    Object.assign(loaded, await take('languageModel', languageModel, (name) => `showo.${name}`, isTrunk));
    Object.assign(loaded, await take('siglip', siglip, semanticName, isSemantic));
    const rest = Object.entries(specs).filter(([name]) => !(name in loaded));
    const drawn = castParams(drawParams(Object.fromEntries(rest), seed), dtype);
    return { ...cutVocabulary(loaded, config), ...drawn };
  } catch (error) {
    tf.dispose(loaded);
    throw error;
  }
}

/** transformers' SigLIP to upstream's names. */
const semanticName = (name: string): string =>
  name === SIGLIP_POSITIONS ? POSITIONS : name.replace(SIGLIP_LAYERS, SHOWO2_LAYER_BASES.vision);

/** Tables by word may be longer than the vocabulary: Qwen2.5's are padded. */
function shapeOf(name: string, shape: readonly number[], found: readonly number[] | undefined) {
  const isTable = name === EMBEDDING || name === LM_HEAD;
  return isTable && found && found[0]! >= shape[0]! ? [found[0]!, ...shape.slice(1)] : shape;
}

async function shapesIn(path: string, rename: (name: string) => string) {
  const entries = Object.entries(await storedShapes(path)).map(
    ([name, shape]) => [rename(name), shape] as const,
  );
  return Object.fromEntries(entries) as Record<string, readonly number[]>;
}

function cutVocabulary(params: Params, { vocabSize }: Showo2Config): Params {
  const out = { ...params };
  for (const name of [EMBEDDING, LM_HEAD]) {
    const table = params[name];
    if (!table || table.shape[0] === vocabSize) continue;
    out[name] = tf.slice(table, [0, 0], [vocabSize, -1]);
    table.dispose();
  }
  return out;
}
