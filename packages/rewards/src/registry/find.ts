import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { z } from 'zod';
import { editDistance } from '../ocr/text-score';
import { functionScorer, type RewardFunction } from '../reward-function';
import type { Scorer } from '../scorer';
import type { RewardContext, RewardDefinition } from './define';
import { REWARDS, type RewardName } from './rewards';

/** A reward that was found: its name among details and its definition. */
export interface FoundReward {
  readonly name: string;
  readonly definition: RewardDefinition;
}

export interface FindRewardOptions {
  /** The folder that modules are relative to. Default: the current one. */
  readonly folder?: string | undefined;
}

/** Whether a reward is named by the path of a module: `./my-reward.mjs`. */
export const isRewardModule = (name: string): boolean => MODULE.test(name);
const MODULE = /^(\.{0,2}[\\/]|[A-Za-z]:[\\/])|\.[cm]?[jt]s$/;

/** The definition of a reward of this package. Throws when there is none of that name, with the nearest one. */
export function knownReward(name: string): RewardDefinition {
  if (Object.hasOwn(REWARDS, name)) return REWARDS[name as RewardName];
  const names = Object.keys(REWARDS);
  throw new Error(
    `there is no reward ${name}${didYouMean(name, names)}; there are ${names.join(', ')}, and modules such as ./my-reward.mjs`,
  );
}

/**
 * A reward of this package by its name, or a module's by its path.
 *
 * @throws for an unknown name (with the nearest one), and for a module that does not export a reward
 */
export async function findReward(
  name: string,
  { folder = '.' }: FindRewardOptions = {},
): Promise<FoundReward> {
  if (!isRewardModule(name)) return { name, definition: knownReward(name) };
  const path = resolve(folder, name);
  const module = (await import(pathToFileURL(path).href).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : inspect(error, { depth: 0 }); // anything may be thrown
    throw new Error(`the reward ${path} cannot be loaded: ${reason}`, { cause: error });
  })) as { default?: unknown };
  const stem = basename(path).replace(/\.[^.]+$/, '');
  return { name: stem, definition: definitionOf(stem, path, module.default) };
}

/** A module's default export: a definition, a scorer, or a function that scores. */
function definitionOf(name: string, path: string, exported: unknown): RewardDefinition {
  const summary = `the reward of ${path}`;
  if (typeof exported === 'function') {
    return { summary, make: () => functionScorer(name, exported as RewardFunction) };
  }
  if (typeof (exported as Scorer | null)?.score === 'function') {
    return { summary, make: () => exported as Scorer };
  }
  const definition = exported as RewardDefinition | null | undefined;
  if (typeof definition?.make !== 'function') {
    throw new Error(
      `${path} must export a reward by default: a function (images, prompts, metadata) => number[], a scorer, or ` +
        'defineReward({ options, make })',
    );
  }
  if (definition.options !== undefined && typeof definition.options.safeParse !== 'function') {
    throw new Error(`${path}: the options of the reward must be a zod schema`);
  }
  return { ...definition, summary: definition.summary ?? summary };
}

/** The checked options, with defaults. Throws naming the reward and the option. */
export function parseRewardOptions(
  { name, definition }: FoundReward,
  options: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const checked = optionsOf(definition).safeParse(options);
  if (checked.success) return checked.data as Readonly<Record<string, unknown>>;
  const known = Object.keys(shapeOf(definition));
  const lines = checked.error.issues.map((issue) => {
    if (issue.code === 'unrecognized_keys') {
      const there = known.length > 0 ? `; there are ${known.join(', ')}` : '; it takes none';
      return `${name} has no option ${issue.keys[0]}${didYouMean(issue.keys[0]!, known)}${there}`;
    }
    const { published } = definition;
    const source = published && issue.path[0] === 'head' ? `. It is published at ${published}` : '';
    return `${[name, ...issue.path].join('.')}: ${issue.message}${source}`;
  });
  throw new Error(lines.join('\n'));
}

const NO_OPTIONS = z.strictObject({});

export const optionsOf = ({ options }: RewardDefinition): z.ZodType => options ?? NO_OPTIONS;

/** The options by name; empty for a schema that is no object. */
export const shapeOf = (definition: RewardDefinition): Readonly<Record<string, z.ZodType>> =>
  (optionsOf(definition) as unknown as { shape?: Record<string, z.ZodType> }).shape ?? {};

/**
 * The scorer of a reward with options that are checked.
 *
 * @throws saying where to get the checkpoint of a model that cannot be loaded
 */
export async function makeScorer(
  { name, definition }: FoundReward,
  options: Readonly<Record<string, unknown>>,
  context: RewardContext = {},
): Promise<Scorer> {
  try {
    const made = await definition.make(options, context);
    return typeof made === 'function' ? functionScorer(name, made) : made;
  } catch (error) {
    context.signal?.throwIfAborted();
    const { message } = error as Error;
    const { published } = definition;
    if (!published || message.includes(published)) throw error;
    throw new Error(`${message}\nThe published checkpoint is at ${published}.`, { cause: error });
  }
}

/**
 * The scorer of a reward that was found, its options checked.
 *
 * @throws naming the reward, the option, or where to get the checkpoint of a model that cannot be loaded
 */
export async function makeFoundReward(
  found: FoundReward,
  options: Readonly<Record<string, unknown>> = {},
  context: RewardContext = {},
): Promise<Scorer> {
  const checked = parseRewardOptions(found, options);
  try {
    return await makeScorer(found, checked, context);
  } catch (error) {
    context.signal?.throwIfAborted();
    throw new Error(`${found.name}: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * A scorer by the name of its reward or the path of a module, its options checked.
 *
 * @throws as `findReward` and `makeFoundReward`
 */
export async function makeReward(
  name: string,
  options: Readonly<Record<string, unknown>> = {},
  context: RewardContext & FindRewardOptions = {},
): Promise<Scorer> {
  const { folder, ...rest } = context;
  return makeFoundReward(await findReward(name, { folder }), options, rest);
}

/** Asks for the nearest name where a name is near enough to be a slip. */
function didYouMean(given: string, names: readonly string[]): string {
  const lower = given.toLowerCase().replace(/[^a-z0-9]/g, '');
  const [nearest] = names
    .map((name) => ({ name, distance: editDistance(lower, name.toLowerCase().replaceAll('_', '')) }))
    .sort((a, b) => a.distance - b.distance);
  return nearest && nearest.distance <= Math.max(2, lower.length / 3)
    ? ` (did you mean ${nearest.name}?)`
    : '';
}
