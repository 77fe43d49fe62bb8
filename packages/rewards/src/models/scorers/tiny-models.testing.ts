/** Checkpoint folders in Hugging Face's layout around tiny weights, for tests of the whole way from files to scores. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Letters to ids from `first` on, each row between `start` and `end`. */
export function letterTokenizer(start: number, end: number, first = 3): object {
  const letters = 'abcdefghijklmnopqrstuvwxyz';
  const special = (id: number, content: string) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  const token = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special(start, '<s>'), special(end, '</s>')],
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'Whitespace' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [token('<s>'), text('A'), token('</s>')],
      pair: [token('<s>'), text('A'), text('B'), token('</s>')],
      special_tokens: {
        '<s>': { id: '<s>', ids: [start], tokens: ['<s>'] },
        '</s>': { id: '</s>', ids: [end], tokens: ['</s>'] },
      },
    },
    decoder: null,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      vocab: Object.fromEntries([
        ...[...letters].map((letter, i) => [letter, first + i] as const),
        ['<s>', start],
        ['</s>', end],
      ]),
      merges: [],
    },
  };
}

/** Writes `json` to folder/name. */
export function writeJson(folder: string, name: string, json: unknown): void {
  writeFileSync(join(folder, name), JSON.stringify(json));
}
