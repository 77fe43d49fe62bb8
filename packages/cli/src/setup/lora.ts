/** The adapters that a setup asks for: their options, and those of a folder to go on with. */
import { basename } from 'node:path';
import {
  type FileChoice,
  type LoadedLora,
  loadLora,
  type RequiredFiles,
  readJson,
  storedShapes,
} from '@flow-grpo/checkpoint-io';
import { ConfigError, type LoraPolicyOptions } from '@flow-grpo/grpo-trainer';
import { loraTargets, type NamePattern, type Params } from '@flow-grpo/nn';
import { z } from 'zod';
import { loraOf, type TrainChoice } from '../run-file/train-schema';
import type { SetupContext } from './setup';
import { openSource } from './sources';

const RANK = 32;

/** Adapters for a model whose weights are known. */
export type ChosenLora = Omit<LoraPolicyOptions, 'seed'>;

const CONFIG = 'adapter_config.json';
/** What diffusers' `save_lora_weights` calls the file. */
const SINGLE = 'pytorch_lora_weights.safetensors';

/** PEFT's two files, or diffusers' one; a source that is a file is taken for the latter. */
const adapterFiles = {
  what: `${CONFIG} with adapter_model.safetensors, or ${SINGLE}`,
  main: true,
  choose: (names) => {
    const [weights] = ['adapter_model.safetensors', 'adapter_model.bin'].filter((name) =>
      names.includes(name),
    );
    if (names.includes(CONFIG) && weights) return [weights, CONFIG];
    return names.filter((name) => name === SINGLE);
  },
} satisfies FileChoice;

/** Of these what rank and layers follow from. */
const sizesFile = {
  ...adapterFiles,
  choose: (names) => adapterFiles.choose(names).slice(-1),
} satisfies FileChoice;

/** The files of adapters in PEFT's or diffusers' layout. */
export const requiredAdapter = (option: string, source: string) =>
  ({ option, source, files: { adapters: adapterFiles } }) satisfies RequiredFiles;

/**
 * The adapters of a setup: those that the command was given, else what `train` says, with the adapters of `start` loaded.
 *
 * @throws {ConfigError} when `start` is not there, and when rank, alpha or targets are given beside it.
 */
export async function openLora(
  train: TrainChoice | undefined,
  context: SetupContext,
): Promise<ChosenLora | undefined> {
  if (context.adapter) return startingFrom(context.adapter);
  const lora = loraOf(train);
  if (!lora) return undefined;
  const { start, init, targets, useRslora = false } = lora;
  if (start === undefined) {
    const rank = lora.rank ?? RANK;
    return { rank, alpha: lora.alpha ?? 2 * rank, useRslora, init, ...(targets && { targets }) };
  }
  const own = (['rank', 'alpha', 'targets', 'useRslora'] as const).filter((key) => lora[key] !== undefined);
  if (own.length > 0) {
    throw new ConfigError(
      `setup.train.lora.start: the adapters of ${start} have their own ${own.join(', ')}; leave out ${own.map((key) => `lora.${key}`).join(', ')}`,
    );
  }
  const { place } = await openSource(requiredAdapter('setup.train.lora.start', start), context);
  return startingFrom(await loadAdapter('setup.train.lora.start', place));
}

/**
 * Rank and layers of the adapters that `train` asks for, from configurations alone; undefined where weights train themselves.
 *
 * @param layers what gets adapters unless it is said
 * @throws {ConfigError} when `start` is not there, or its configuration cannot be read.
 */
export async function loraSizes(
  train: TrainChoice | undefined,
  layers: readonly NamePattern[],
  context: SetupContext,
): Promise<{ rank: number; targets: readonly NamePattern[] } | undefined> {
  const lora = loraOf(train);
  if (!lora) return undefined;
  if (lora.start === undefined) return { rank: lora.rank ?? RANK, targets: lora.targets ?? layers };
  const required = requiredAdapter('setup.train.lora.start', lora.start);
  const { paths } = await openSource({ ...required, files: { sizes: sizesFile } }, context);
  try {
    return basename(paths.sizes) === CONFIG
      ? sizesOfConfig(await readJson(paths.sizes), layers)
      : sizesOfShapes(await storedShapes(paths.sizes));
  } catch (error) {
    throw new ConfigError(`setup.train.lora.start: ${paths.sizes}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function sizesOfConfig(config: unknown, layers: readonly NamePattern[]) {
  const { r, target_modules: targets } = peftSizes.parse(config);
  return { rank: r, targets: Array.isArray(targets) ? targets : layers };
}

/** Names stand behind the part of the pipeline, `transformer.`. */
function sizesOfShapes(shapes: Readonly<Record<string, readonly number[]>>) {
  const down = /^\w+\.(.*)\.lora_A\.weight$/;
  const found = Object.entries(shapes).flatMap(([name, [rank]]) => {
    const layer = down.exec(name)?.[1];
    return layer === undefined ? [] : [{ layer, rank: rank! }];
  });
  if (found.length === 0) throw new Error('it holds no adapters (….lora_A.weight)');
  return { rank: found[0]!.rank, targets: found.map(({ layer }) => layer) };
}

/** What sizes follow from; `target_modules` may be an expression. */
const peftSizes = z.looseObject({
  r: z.int().min(1),
  target_modules: z.union([z.array(z.string()), z.string()]),
});

/** @throws {ConfigError} naming the option, when the folder holds no adapters that can be read. */
export async function loadAdapter(option: string, folder: string): Promise<LoadedLora> {
  try {
    return await loadLora(folder);
  } catch (error) {
    throw new ConfigError(`${option}: ${(error as Error).message}`, { cause: error });
  }
}

const startingFrom = ({ adapters, ...scale }: LoadedLora): ChosenLora => ({ ...scale, start: adapters });

/**
 * Names of the weights that the adapters belong to, as patterns that fit no other.
 *
 * @param layers what gets adapters unless it is said
 */
export function adaptedWeightsOf(
  params: Params,
  { targets, start }: ChosenLora,
  layers: readonly NamePattern[],
): RegExp[] {
  const names = start ? layersOf(start) : loraTargets(params, targets ?? layers);
  return names.map((name) => new RegExp(`^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\.weight$`));
}

/** For `loraPolicy`, where the policy would train the weights of the targets and nothing else. */
export const withoutTargets = ({ targets: _, ...lora }: ChosenLora): Omit<ChosenLora, 'targets'> => lora;

const layersOf = (adapters: Params): string[] => [
  ...new Set(Object.keys(adapters).map((name) => name.replace(/\.lora_[AB]\.weight$/, ''))),
];
