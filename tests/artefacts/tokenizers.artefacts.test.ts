/** Qwen2.5's, CLIP's and BERT's tokenizers give Python's ids for every prompt of the data sets. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadBytePairTokenizer } from '@flow-grpo/checkpoint-io';
import { beforeAll, describe, expect, it } from 'vitest';
import { openClipText } from '../../packages/rewards/src/models/load/open-clip-text';
import { loadTokenizer } from '../../packages/rewards/src/models/load/tokenizer';
import { artefacts, reference } from './reference';
import { STRANGE_TEXTS } from './strange-texts';

const data =
  process.env.FLOW_GRPO_DATA || fileURLToPath(new URL('../../packages/datasets/test/data', import.meta.url));

/** The prompts of every text file and every file of GenEval below the folder. */
function promptsOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
    if (!/\.(txt|jsonl)$/.test(name)) return [];
    const lines = readFileSync(join(folder, name), 'utf8')
      .split('\n')
      .filter((line) => line.trim() !== '');
    return name.endsWith('.txt')
      ? lines
      : lines.map((line) => (JSON.parse(line) as { prompt: string }).prompt);
  });
}

const texts = [...new Set([...promptsOf(data), ...STRANGE_TEXTS])];
let expected: Record<'clip' | 'open_clip' | 'bert' | 'qwen2.5', number[][]>;
beforeAll(async () => {
  const file = join(artefacts, 'texts.json');
  writeFileSync(file, JSON.stringify(texts));
  expected = await reference('tokenizers', artefacts, file);
});

/** The texts whose ids differ, with both. */
const differences = (actual: readonly (readonly number[])[], expected: readonly (readonly number[])[]) =>
  texts.flatMap((text, i) =>
    JSON.stringify(actual[i]) === JSON.stringify(expected[i])
      ? []
      : [{ text, actual: actual[i], expected: expected[i] }],
  );

/** A row of the ids of one text, neither cut nor filled. */
const LONG = 8192;
const asWritten = (row: readonly number[], pad: number) =>
  row.slice(0, row.findLastIndex((id) => id !== pad) + 1);

const hubFolder = (name: string) => ({
  tokenizer: join(artefacts, name, 'tokenizer.json'),
  tokenizerConfig: join(artefacts, name, 'tokenizer_config.json'),
});

describe(`of ${texts.length} texts`, () => {
  it('Qwen2.5', async () => {
    const tokenizer = await loadBytePairTokenizer(join(artefacts, 'tokenizer-qwen2_5/models'));
    expect(
      differences(
        texts.map((text) => tokenizer.encode(text)),
        expected['qwen2.5'],
      ),
    ).toEqual([]);
  });

  it('CLIP as transformers has it', async () => {
    const tokenize = await loadTokenizer(hubFolder('clip'), { length: LONG, pad: -1 });
    expect(
      differences(
        tokenize(texts).map((row) => asWritten(row, -1)),
        expected.clip,
      ),
    ).toEqual([]);
  });

  it('CLIP as open_clip has it: 77 ids', async () => {
    const tokenize = await loadTokenizer(hubFolder('clip'), { length: 77, pad: 0 });
    expect(differences(tokenize(texts.map(openClipText)), expected.open_clip)).toEqual([]);
  });

  it('BERT', async () => {
    const tokenize = await loadTokenizer(hubFolder('bert'), { length: LONG, pad: -1 });
    expect(
      differences(
        tokenize(texts).map((row) => asWritten(row, -1)),
        expected.bert,
      ),
    ).toEqual([]);
  });
});
