/** Whether a module's own setup is one: it may be JavaScript, which no compiler has seen. */
import { inspect } from 'node:util';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import type { RunSetup } from './setup';

type Check = (value: unknown) => boolean;

const isRecord: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isCallable: Check = (value) => typeof value === 'function';
const isListOf =
  (each: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(each);
const has =
  (parts: Readonly<Record<string, Check>>): Check =>
  (value) =>
    (isRecord(value) || isCallable(value)) &&
    Object.entries(parts).every(([name, check]) => check((value as Record<string, unknown>)[name]));

const isScorer: Check = (value) => isCallable(value) || has({ score: isCallable })(value);
const isPrompts: Check = (value) =>
  Array.isArray(value)
    ? value.every((each) => typeof (each as { prompt?: unknown } | null)?.prompt === 'string')
    : has({ length: Number.isInteger, at: isCallable })(value);

/** Parts of a policy, and what each must be. */
const POLICY: Readonly<Record<string, readonly [check: Check, what: string]>> = {
  params: [isRecord, 'tensors by name'],
  trainable: [isListOf((name) => typeof name === 'string'), 'a list of names'],
  latentShape: [isListOf((size) => Number.isInteger(size) && (size as number) > 0), 'a list of sizes'],
  encodePrompts: [isCallable, 'a function'],
  velocity: [isCallable, 'a function'],
  decode: [isCallable, 'a function'],
};

/** Parts of a setup, and what each must be. */
const SETUP: Readonly<Record<string, readonly [check: Check, what: string]>> = {
  policy: [isRecord, 'a Policy'],
  prompts: [isPrompts, 'a list of { prompt: text }'],
  evalPrompts: [isPrompts, 'a list of { prompt: text }'],
  scorer: [isScorer, 'a function (images, prompts, metadata) → numbers, or a scorer'],
  evalRewards: [isRecord, 'scorers by name'],
  savedWeights: [isCallable, 'a function'],
  saveAdapter: [isCallable, 'a function'],
  fingerprint: [isRecord, 'text by name'],
  pretrain: [
    has({ params: isRecord, velocity: isCallable, batchAt: isCallable, options: isRecord }),
    '{ params, velocity, batchAt, options }',
  ],
};

/**
 * What a module's function returned, when it is a setup.
 *
 * @throws {ConfigError} naming the file, the part, and what it must be
 */
export function checkSetup(made: unknown, file: string): RunSetup {
  const fail = (part: string, value: unknown, what: string) => {
    throw new ConfigError(`setup.path: ${file} returns ${part}${shown(value)}; it must be ${what}`);
  };
  if (!isRecord(made)) fail('', made, '{ policy, prompts, scorer } (see defineSetup)');
  const setup = made as Record<string, unknown>;
  for (const [name, [check, what]] of Object.entries(SETUP)) {
    const value = setup[name];
    if (value !== undefined && !check(value)) fail(`${name}: `, value, what);
  }
  const { policy } = setup as { policy?: Record<string, unknown> };
  for (const [name, [check, what]] of Object.entries(policy ? POLICY : {})) {
    if (!check(policy![name])) fail(`policy.${name}: `, policy![name], what);
  }
  return setup as RunSetup;
}

const MAX_SHOWN = 60;

/** A value in a message: short, and without running anything of it. */
export function shown(value: unknown): string {
  const text = inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY, customInspect: false });
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

/** What was thrown, as text: anything may be. */
export function thrownText(thrown: unknown): string {
  if (thrown instanceof Error) return `${thrown}`;
  return typeof thrown === 'string' ? thrown : `${shown(thrown)} was thrown`;
}
