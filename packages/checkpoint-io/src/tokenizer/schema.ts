import { z } from 'zod';
import { spelledByteLevel } from './byte-level';

/** More entries than any vocabulary has: ids beyond it would only take memory. */
const MAX_ENTRIES = 2 ** 20;
/** Characters of a token; the longest of Qwen2.5 have 128. */
const MAX_TOKEN_LENGTH = 1024;

/**
 * Expressions that pre-tokenizers split by, of which it is known that they take linear time: Qwen2.5's, and GPT-2's. A file
 * may hold any other, some of which would take longer than the universe lasts for a short prompt.
 */
const PATTERNS = [
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
];

const token = z.string().min(1).max(MAX_TOKEN_LENGTH);
const id = z
  .int()
  .min(0)
  .max(MAX_ENTRIES - 1);

const addedToken = z.looseObject({
  id,
  content: token,
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(false),
  special: z.boolean().default(false),
});

const unicodeForm = z.looseObject({ type: z.enum(['NFC', 'NFD', 'NFKC', 'NFKD']) });
const normalizer = z.union([
  unicodeForm,
  z.looseObject({ type: z.literal('Sequence'), normalizers: z.array(unicodeForm).max(8) }),
]);

const byteLevel = z.looseObject({ type: z.literal('ByteLevel') });
const split = z.looseObject({
  type: z.literal('Split'),
  pattern: z.strictObject({
    Regex: z
      .string()
      .refine((text) => PATTERNS.includes(text), 'is an expression that is not known to take linear time'),
  }),
});
const preTokenizer = z.discriminatedUnion('type', [
  byteLevel,
  z.looseObject({
    type: z.literal('Sequence'),
    pretokenizers: z.array(z.discriminatedUnion('type', [byteLevel, split])).max(8),
  }),
]);

const fileSchema = z.looseObject({
  added_tokens: z.array(addedToken).max(MAX_ENTRIES).default([]),
  normalizer: normalizer.nullish(),
  pre_tokenizer: preTokenizer,
  post_processor: z.looseObject({ type: z.enum(['ByteLevel', 'TemplateProcessing']) }).nullish(),
  decoder: byteLevel,
  model: z.looseObject({ type: z.literal('BPE').default('BPE') }),
});

/** What a file may leave out, and the library does not. */
const ABSENT = { normalizer: null, post_processor: null };

const configSchema = z.looseObject({
  eos_token: z.union([z.string(), z.looseObject({ content: z.string() })]).nullish(),
});

/** The parts of a tokenizer.json that are read here. */
export interface TokenizerJson {
  model: { vocab: Record<string, number>; merges?: unknown };
  added_tokens?: z.input<typeof addedToken>[] | undefined;
}

/** A checked tokenizer.json. */
export interface CheckedTokenizer {
  readonly json: object;
  readonly vocab: ReadonlyMap<string, number>;
  readonly added: z.output<typeof addedToken>[];
}

/**
 * Checks a tokenizer.json before anything is made of it: a byte-level BPE tokenizer of Qwen2.5's kind, with ids that are
 * distinct and small, merges of its own tokens, and no expression that could take for ever.
 *
 * @throws naming `source` and the field
 */
export function checkTokenizerJson(value: unknown, source: string): CheckedTokenizer {
  const fail = (problem: string): never => {
    throw new Error(`${source} is not a tokenizer that is read here: ${problem}`);
  };
  const result = fileSchema.safeParse(value);
  if (!result.success) return fail(z.prettifyError(result.error));
  const { model, added_tokens: added } = result.data;
  const vocab = checkVocabulary(model.vocab, fail);
  checkMerges(model.merges, vocab, fail);
  const names = new Map([...vocab].map(([name, at]) => [at, name]));
  for (const { id: at, content } of added) {
    const holder = names.get(at) ?? content;
    const known = vocab.get(content) ?? at;
    if (holder !== content || known !== at) {
      fail(`added token ${JSON.stringify(content)} has the id ${at}, which means something else already`);
    }
    names.set(at, content);
  }
  const pre_tokenizer = spelledByteLevel(result.data.pre_tokenizer);
  const json = { ...ABSENT, ...result.data, pre_tokenizer, truncation: null, padding: null };
  return { json, vocab, added };
}

function checkVocabulary(value: unknown, fail: (problem: string) => never): Map<string, number> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return fail('it has no model.vocab');
  const vocab = new Map<string, number>();
  const taken = new Set<number>();
  for (const [name, at] of Object.entries(value as Record<string, unknown>)) {
    if (!id.safeParse(at).success || taken.has(at as number)) {
      fail(
        `model.vocab gives ${JSON.stringify(name.slice(0, 40))} the id ${JSON.stringify(at)}, not one of its own`,
      );
    }
    if (!token.safeParse(name).success) fail(`model.vocab has a token of ${name.length} characters`);
    taken.add(at as number);
    vocab.set(name, at as number);
  }
  return vocab;
}

/** Merges are pairs of tokens, as a list or as text with a space between, whose union is a token too. */
function checkMerges(
  value: unknown,
  vocab: ReadonlyMap<string, number>,
  fail: (problem: string) => never,
): void {
  const merges: unknown[] = Array.isArray(value) ? value : fail('model.merges is not a list');
  if (merges.length > MAX_ENTRIES) fail(`model.merges has ${merges.length} entries`);
  merges.forEach((merge: unknown, i) => {
    const parts: unknown[] = typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
    const isPair = parts.length === 2 && parts.every((part) => typeof part === 'string' && vocab.has(part));
    if (!isPair || !vocab.has(parts.join(''))) fail(`model.merges[${i}] is not of tokens of model.vocab`);
  });
}

/** The end-of-text token that a tokenizer_config.json names. Throws naming `source`. */
export function eosTokenOf(value: unknown, source: string): string | undefined {
  const result = configSchema.safeParse(value);
  if (!result.success) throw new Error(`${source} is not valid: ${z.prettifyError(result.error)}`);
  const { eos_token: eos } = result.data;
  return (typeof eos === 'object' ? eos?.content : eos) ?? undefined;
}
