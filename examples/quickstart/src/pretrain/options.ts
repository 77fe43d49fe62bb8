/** What `setup.options` of pretrain.yaml may say. */
import { GENEVAL_TAGS, type GenevalTag } from '@flow-grpo/datasets';

export interface PretrainOptions {
  /** Folder of the finished model. */
  out: string;
  /** Folder of unfinished parts, and of the model at every save. */
  work: string;
  vaeSteps: number;
  /** Images a step of the VAE. */
  vaeBatch: number;
  flowSteps: number;
  /** Images a step of Show-o2. */
  flowBatch: number;
  /** Steps between saves, each of which measures the model. */
  saveEvery: number;
  /** Scenes that Show-o2 learns from. */
  scenes: number;
  /** Held-out images a measurement. */
  measured: number;
  /** Kinds of scenes that Show-o2 learns. */
  kinds: GenevalTag[];
  seed: number;
}

const COUNTS = ['vaeSteps', 'vaeBatch', 'flowSteps', 'flowBatch', 'saveEvery', 'scenes', 'measured'] as const;

/** Checks the options. Throws, naming the one that is missing, unknown or wrong. */
export function readPretrainOptions(given: Readonly<Record<string, unknown>>): PretrainOptions {
  const known = [...COUNTS, 'out', 'work', 'kinds', 'seed'];
  const fail = (name: string, what: string): never => {
    throw new Error(`setup.options.${name} ${what}`);
  };
  for (const name of Object.keys(given)) {
    if (!known.includes(name)) fail(name, `does not exist; there are ${known.join(', ')}`);
  }
  const whole = (name: string, low: number): number => {
    const value = given[name];
    if (typeof value === 'number' && Number.isInteger(value) && value >= low) return value;
    return fail(name, `must be a whole number from ${low}, not ${value}`);
  };
  const folder = (name: string): string => {
    const value = given[name];
    return typeof value === 'string' && value !== '' ? value : fail(name, 'must be a folder');
  };
  const kinds = Array.isArray(given.kinds) ? given.kinds : fail('kinds', 'must be a list');
  const unknown = kinds.find((kind) => !GENEVAL_TAGS.includes(kind));
  if (unknown !== undefined || kinds.length === 0) fail('kinds', `must be of ${GENEVAL_TAGS.join(', ')}`);
  const counts = Object.fromEntries(COUNTS.map((name) => [name, whole(name, 1)])) as Record<
    (typeof COUNTS)[number],
    number
  >;
  return { ...counts, out: folder('out'), work: folder('work'), kinds, seed: whole('seed', 0) };
}
