/** Checks what a scorer answered: a list that is too short, or of other than numbers, would train on something else. */
import * as tf from '@tensorflow/tfjs-core';

/** The answer of a scorer, in plain arrays. */
interface CheckedScores {
  readonly scores: readonly number[];
  readonly details: Readonly<Record<string, readonly number[]>>;
}

/**
 * An answer as plain arrays, whatever lists it came in.
 *
 * @param name of the scorer, for messages
 * @param prompts of the images, one each
 * @throws when it is no `{ scores, details }`, when a list does not have one number per image, and when a score is not
 *   finite and its image not dropped; each names the scorer and the list
 */
export function checkedScores(name: string, given: unknown, prompts: readonly string[]): CheckedScores {
  const { scores: list, details: lists = {} } = (given ?? {}) as { scores?: unknown; details?: unknown };
  if (list === undefined || !isRecord(lists)) {
    throw new Error(`Scorer ${name} gave ${kindOf(given)}: its score() must return { scores, details }`);
  }
  const scores = numbersOf(`Scorer ${name} gave`, 'rewards', list, prompts.length);
  const details = Object.fromEntries(
    Object.entries(lists).map(([key, values]) => [
      key,
      numbersOf(`Scorer ${name} gave`, `values of details.${key}`, values, prompts.length),
    ]),
  );
  const bad = scores.findIndex((score, i) => !Number.isFinite(score) && details.dropped?.[i] !== 1);
  if (bad >= 0) throw new Error(`Scorer ${name} gave ${scores[bad]} for ${JSON.stringify(prompts[bad])}`);
  return { scores, details };
}

/**
 * A list of numbers, one per image, as an array.
 *
 * @param who and what, for messages: `Scorer s gave`, `rewards`
 * @throws when it is something else
 */
export function numbersOf(who: string, what: string, given: unknown, count: number): number[] {
  const isList = Array.isArray(given) || (ArrayBuffer.isView(given) && !(given instanceof DataView));
  if (!isList) {
    const hint = given instanceof tf.Tensor ? '; read it by await tensor.data()' : '';
    throw new Error(`${who} ${kindOf(given)} for ${what}: it must be a list of one number per image${hint}`);
  }
  const list = Array.from(given as ArrayLike<unknown>);
  if (list.length !== count) throw new Error(`${who} ${list.length} ${what} for ${count} images`);
  const odd = list.findIndex((value) => typeof value !== 'number');
  if (odd >= 0) throw new Error(`${who} ${kindOf(list[odd])} among the ${what}: each must be a number`);
  return list as number[];
}

/** A value in a message. */
function kindOf(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (value instanceof tf.Tensor) return `a tensor [${value.shape}]`;
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return `the text ${JSON.stringify(value.slice(0, 40))}`;
  if (typeof value === 'object') return 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Metadata that a scorer may change without changing that of other images, or of later epochs: lists and plain records are
 * copied, everything else is the same.
 */
export function copiedMetadata(metadata: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const copies = new Map<object, unknown>();
  const copied = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    const known = copies.get(value);
    if (known !== undefined) return known;
    if (Array.isArray(value)) {
      const list: unknown[] = [];
      copies.set(value, list);
      for (const each of value) list.push(copied(each));
      return list;
    }
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) return value;
    const record = Object.create(prototype) as Record<string, unknown>;
    copies.set(value, record);
    for (const [key, each] of Object.entries(value)) {
      Object.defineProperty(record, key, {
        value: copied(each),
        ...{ writable: true, enumerable: true, configurable: true },
      });
    }
    return record;
  };
  return copied(metadata) as Record<string, unknown>;
}
