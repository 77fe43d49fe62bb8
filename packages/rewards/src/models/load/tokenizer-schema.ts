/** What a tokenizer.json may hold: it is downloaded, and some of what the format allows never ends. */
import { spelledByteLevel } from '@flow-grpo/checkpoint-io/tokenizer';
import { z } from 'zod';

/** More entries than any vocabulary has: ids beyond it would only take memory. */
const MAX_ENTRIES = 2 ** 20;
/** Characters of a token. */
const MAX_TOKEN_LENGTH = 1024;
const MAX_PARTS = 16;

/** Expressions of CLIP's tokenizer, in its two spellings, and GPT-2's, which are known to take linear time. */
const SPLITS = [
  "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
  "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
];
const WHITE_SPACE = '\\s+';

const token = z.string().min(1).max(MAX_TOKEN_LENGTH);
const shortText = z.string().max(16);
const id = z
  .int()
  .min(0)
  .max(MAX_ENTRIES - 1);

const addedToken = z.looseObject({ id, content: token });

const expression = (known: readonly string[]) =>
  z.strictObject({
    Regex: z
      .string()
      .refine((text) => known.includes(text), 'is an expression that is not known to take linear time'),
  });

const plainNormalizer = z.discriminatedUnion('type', [
  z.looseObject({ type: z.enum(['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'StripAccents']) }),
  z.looseObject({
    type: z.literal('Replace'),
    pattern: z.union([expression([WHITE_SPACE]), z.strictObject({ String: token })]),
    content: shortText,
  }),
  z.looseObject({
    type: z.literal('BertNormalizer'),
    clean_text: z.boolean().optional(),
    handle_chinese_chars: z.boolean().optional(),
    strip_accents: z.boolean().nullish(),
    lowercase: z.boolean().optional(),
  }),
]);
const normalizer = z.discriminatedUnion('type', [
  ...plainNormalizer.options,
  z.looseObject({ type: z.literal('Sequence'), normalizers: z.array(plainNormalizer).max(MAX_PARTS) }),
]);

const plainPreTokenizer = z.discriminatedUnion('type', [
  z.looseObject({ type: z.enum(['ByteLevel', 'BertPreTokenizer', 'Whitespace', 'WhitespaceSplit']) }),
  z.looseObject({
    type: z.literal('Split'),
    pattern: expression(SPLITS),
    behavior: z.enum(['Removed', 'Isolated']),
    invert: z.boolean(),
  }),
]);
const preTokenizer = z.discriminatedUnion('type', [
  ...plainPreTokenizer.options,
  z.looseObject({ type: z.literal('Sequence'), pretokenizers: z.array(plainPreTokenizer).max(MAX_PARTS) }),
]);

const pair = z.tuple([token, id]);
const part = z.union([
  z.strictObject({ SpecialToken: z.strictObject({ id: token, type_id: z.int() }) }),
  z.strictObject({ Sequence: z.strictObject({ id: z.enum(['A', 'B']), type_id: z.int() }) }),
]);
const postProcessor = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('ByteLevel') }),
  z.looseObject({ type: z.enum(['RobertaProcessing', 'BertProcessing']), sep: pair, cls: pair }),
  z.looseObject({
    type: z.literal('TemplateProcessing'),
    single: z.array(part).min(1).max(MAX_PARTS),
    pair: z.array(part).max(MAX_PARTS),
    special_tokens: z.record(
      z.string(),
      z.looseObject({
        id: token,
        ids: z.array(id).min(1).max(MAX_PARTS),
        tokens: z.array(token).max(MAX_PARTS),
      }),
    ),
  }),
]);

const model = z.discriminatedUnion('type', [
  z.looseObject({
    type: z.literal('BPE'),
    dropout: z.null('drops merges at random').optional(),
    unk_token: token.nullish(),
    continuing_subword_prefix: shortText.nullish(),
    end_of_word_suffix: shortText.nullish(),
  }),
  z.looseObject({
    type: z.literal('WordPiece'),
    unk_token: token,
    continuing_subword_prefix: shortText,
    max_input_chars_per_word: z.int().min(1).max(1000),
  }),
]);

const fileSchema = z.looseObject({
  added_tokens: z.array(addedToken).max(MAX_ENTRIES).default([]),
  normalizer: normalizer.nullish(),
  pre_tokenizer: preTokenizer,
  post_processor: postProcessor.nullish(),
  decoder: z.looseObject({ type: z.enum(['ByteLevel', 'WordPiece', 'BPEDecoder']) }).nullish(),
  model,
});

/** What a file may leave out, and the library does not. */
const ABSENT = { normalizer: null, post_processor: null, decoder: null };

/**
 * Checks a tokenizer.json of CLIP's or BERT's kind before anything is made of it: ids that are distinct and small, merges of
 * its own tokens, and no expression that could take for ever. What it asks to cut and pad is left to the caller.
 *
 * @throws naming `source` and the field
 */
export function checkTokenizer(value: unknown, source: string): object {
  const fail = (problem: string): never => {
    throw new Error(`${source} is not a tokenizer that is read here: ${problem}`);
  };
  const result = fileSchema.safeParse(value);
  if (!result.success) return fail(z.prettifyError(result.error));
  const { data } = result;
  const vocab = checkVocabulary(data.model.vocab, fail);
  if (data.model.type === 'BPE') checkMerges(data.model.merges, vocab, fail);
  const unknown = data.model.unk_token;
  if (unknown && !vocab.has(unknown))
    fail(`model.unk_token ${JSON.stringify(unknown)} is not in model.vocab`);
  checkAdded(data.added_tokens, vocab, fail);
  const pre_tokenizer = spelledByteLevel(data.pre_tokenizer);
  return { ...ABSENT, ...data, pre_tokenizer, truncation: null, padding: null };
}

type Fail = (problem: string) => never;

function checkVocabulary(value: unknown, fail: Fail): Map<string, number> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return fail('it has no model.vocab');
  const vocab = new Map<string, number>();
  const taken = new Set<number>();
  for (const [name, at] of Object.entries(value as Record<string, unknown>)) {
    const shown = JSON.stringify(name.slice(0, 40));
    if (!id.safeParse(at).success || taken.has(at as number))
      fail(`model.vocab gives ${shown} the id ${JSON.stringify(at)}, not one of its own`);
    if (name.length === 0 || name.length > MAX_TOKEN_LENGTH)
      fail(`model.vocab has a token of ${name.length} characters`);
    taken.add(at as number);
    vocab.set(name, at as number);
  }
  return vocab;
}

/** Merges are pairs of tokens, as a list or as text with a space between, whose union is a token too. */
function checkMerges(value: unknown, vocab: ReadonlyMap<string, number>, fail: Fail): void {
  const merges: unknown[] = Array.isArray(value) ? value : fail('model.merges is not a list');
  if (merges.length > MAX_ENTRIES) fail(`model.merges has ${merges.length} entries`);
  merges.forEach((merge: unknown, i) => {
    const parts: unknown[] = typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
    const isPair = parts.length === 2 && parts.every((each) => typeof each === 'string' && vocab.has(each));
    if (!isPair || !vocab.has(parts.join(''))) fail(`model.merges[${i}] is not of tokens of model.vocab`);
  });
}

function checkAdded(
  added: readonly z.infer<typeof addedToken>[],
  vocab: ReadonlyMap<string, number>,
  fail: Fail,
): void {
  const names = new Map([...vocab].map(([name, at]) => [at, name]));
  for (const { id: at, content } of added) {
    if ((names.get(at) ?? content) !== content || (vocab.get(content) ?? at) !== at)
      fail(`added token ${JSON.stringify(content)} has the id ${at}, which means something else already`);
    names.set(at, content);
  }
}

const configSchema = z.looseObject({
  clean_up_tokenization_spaces: z.boolean().nullish(),
  tokenizer_class: z.string().nullish(),
});

/** Checks the little of a tokenizer_config.json that is read. Throws naming `source`. */
export function checkTokenizerConfig(value: unknown, source: string): object {
  const result = configSchema.safeParse(value);
  if (result.success) return result.data;
  throw new Error(`${source} is not valid: ${z.prettifyError(result.error)}`);
}
