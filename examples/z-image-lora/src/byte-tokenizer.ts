/** A tokenizer that needs no download: every byte is a token, and so is each special token of the chat layout. */
import { writeJson } from './write-json';

const SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
const LETTERS = 256;
const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true };
/** What Hugging Face's library wants to know of an added token. */
const EXACT = { single_word: false, lstrip: false, rstrip: false, normalized: false };

/** Tokens that it has. */
export const BYTE_TOKENS = LETTERS + SPECIAL.length;

/** Writes its tokenizer.json and tokenizer_config.json into `folder`. */
export async function writeByteTokenizer(folder: string): Promise<void> {
  await writeJson(folder, 'tokenizer_config.json', { eos_token: SPECIAL[2] });
  await writeJson(folder, 'tokenizer.json', byteTokenizer());
}

function byteTokenizer(): object {
  const isPrintable = (byte: number) =>
    byte > 32 && byte !== 127 && !(byte >= 128 && byte < 161) && byte !== 173;
  let others = 0;
  // Bytes that are no printable character have letters from 256 on, in byte-level BPE.
  const letters = Array.from({ length: LETTERS }, (_, byte) =>
    String.fromCodePoint(isPrintable(byte) ? byte : LETTERS + others++),
  );
  return {
    version: '1.0',
    added_tokens: SPECIAL.map((content, i) => ({ id: LETTERS + i, content, special: true, ...EXACT })),
    normalizer: { type: 'NFC' },
    pre_tokenizer: BYTE_LEVEL,
    post_processor: null,
    decoder: BYTE_LEVEL,
    model: { type: 'BPE', vocab: Object.fromEntries(letters.map((letter, id) => [letter, id])), merges: [] },
  };
}
