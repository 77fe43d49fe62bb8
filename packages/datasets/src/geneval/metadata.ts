/** The six task kinds of GenEval (Ghosh et al. 2023), by their tags. */
export const GENEVAL_TAGS = [
  'single_object',
  'two_object',
  'counting',
  'colors',
  'position',
  'color_attr',
] as const;
export type GenevalTag = (typeof GENEVAL_TAGS)[number];

export const GENEVAL_RELATIONS = ['left of', 'right of', 'above', 'below'] as const;
export type GenevalRelation = (typeof GENEVAL_RELATIONS)[number];

/** Objects that must be there: `count` of a class, of one colour, standing in a relation to include[i]. */
export interface GenevalObject {
  class: string;
  count: number;
  color?: string;
  /** `[relation, i]`: this object is `relation` the object of `include[i]`. */
  position?: [GenevalRelation, number];
}

/** GenEval's metadata of one prompt, as in flow_grpo's `geneval` folder. */
export interface GenevalMetadata {
  tag: string;
  include: GenevalObject[];
  /** Refused when `count` or more of the class are found. */
  exclude?: { class: string; count: number }[];
  prompt: string;
}

/**
 * Checks that a value has GenEval's schema and returns it with its type. Keys that are null count as absent and are
 * left out of the result; unknown extra keys are left alone; a tag outside the six is allowed (other suites extend the
 * list) but must be a string.
 *
 * @param where names the record in the error, such as `test_metadata.jsonl line 3`
 * @throws when a field is missing or of the wrong type; the message names the field.
 */
export function parseGenevalMetadata(value: unknown, where = 'GenEval metadata'): GenevalMetadata {
  const fail = (what: string): never => {
    throw new Error(`${where}: ${what}`);
  };
  if (!isRecord(value)) return fail('expected an object with tag, include and prompt');
  if (typeof value.tag !== 'string') fail('"tag" must be a string, such as "counting"');
  if (typeof value.prompt !== 'string') fail('"prompt" must be a string');
  if (!Array.isArray(value.include) || value.include.length === 0) {
    return fail('"include" must be a list with at least one object');
  }
  const metadata = withoutNulls(value);
  const include = metadata.include as unknown[];
  include.forEach((object: unknown, i: number) => {
    checkObject(object, `"include[${i}]"`, fail);
    const { color, position } = object as Record<string, unknown>;
    if (color !== undefined && typeof color !== 'string') fail(`"include[${i}].color" must be a string`);
    if (position !== undefined) checkPosition(position, i, include.length, fail);
  });
  if (metadata.exclude !== undefined) {
    if (!Array.isArray(metadata.exclude)) return fail('"exclude" must be a list');
    metadata.exclude.forEach((object: unknown, i: number) => {
      checkObject(object, `"exclude[${i}]"`, fail);
    });
  }
  return metadata as unknown as GenevalMetadata;
}

/** Tables (Parquet, Hugging Face datasets) write null where a key is absent. Returns the same value where there is none. */
function withoutNulls<T>(value: T): T {
  if (Array.isArray(value)) {
    const items = value.map(withoutNulls);
    return items.some((item, i) => item !== value[i]) ? (items as T) : value;
  }
  if (!isRecord(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, withoutNulls(item)] as const);
  const isSame = entries.every(([key, item]) => item !== null && item === value[key]);
  return isSame ? value : (Object.fromEntries(entries.filter(([, item]) => item !== null)) as T);
}

type Fail = (what: string) => never;

function checkObject(object: unknown, name: string, fail: Fail): void {
  if (!isRecord(object) || typeof object.class !== 'string') fail(`${name} needs a string "class"`);
  const { count } = object as Record<string, unknown>;
  if (!Number.isInteger(count) || (count as number) < 1) {
    fail(`${name} needs a "count" of at least 1, not ${JSON.stringify(count)}`);
  }
}

function checkPosition(position: unknown, self: number, length: number, fail: Fail): void {
  const name = `"include[${self}].position"`;
  if (!Array.isArray(position) || position.length !== 2) fail(`${name} must be [relation, index]`);
  const [relation, target] = position as unknown[];
  if (!(GENEVAL_RELATIONS as readonly unknown[]).includes(relation)) {
    fail(`${name}: ${JSON.stringify(relation)} is none of ${GENEVAL_RELATIONS.join(', ')}`);
  }
  const other = Number.isInteger(target) && target !== self;
  if (!other || (target as number) < 0 || (target as number) >= length) {
    fail(`${name}: ${JSON.stringify(target)} is not the index of another included object`);
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
