import { readdirSync } from 'node:fs';
import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { openClipText } from './open-clip-text';

interface Tokens {
  /** `open_clip_ids` where open_clip's tokens are others than transformers'. */
  rows: { text: string; open_clip_ids: number[] | null }[];
}

const cases = fixtureCases('rewards-clip').filter(({ dir }) => readdirSync(dir).includes('tokens.json'));
if (cases.length === 0) throw new Error('No rewards-clip case has a tokens.json.');

describe.each(cases)('$name', ({ dir }) => {
  const { rows } = readJson<Tokens>(dir, 'tokens.json');

  it.each(rows)('reads $text otherwise than transformers where open_clip does', ({ text, open_clip_ids }) => {
    const plain = text.trim().replace(/\s+/g, ' ').toLowerCase().normalize('NFC');
    if (open_clip_ids) expect(openClipText(text)).not.toBe(plain);
    else expect(openClipText(text)).toBe(plain);
  });
});

describe('openClipText', () => {
  it.each([
    ['ï¬\u0081sh and ﬁre', 'fish and fire'],
    ['ＦＵＬＬ　width', 'full width'],
    ['twice broken: ÃƒÂ©', 'twice broken: é'],
    ['Â© 2024, a naïve façade, 50 €', '© 2024, a naïve façade, 50 €'],
    ['über Ångström, Ä Ö Ü', 'über ångström, ä ö ü'],
    ['a\u0000b\u007fc\ufeff d\r\ne', 'abc d e'],
    ['&eacute;t&#233; &notanentity;', 'été ¬anentity;'],
    ['&lt;b&gt; fish &amp; chips &amp;amp;', '<b> fish & chips &'],
    ['<|startoftext|> hidden <|endoftext|> tail', '<| startoftext |> hidden <| endoftext |> tail'],
    ['“curly” ‘quotes’ — dash…', '"curly" \'quotes\' — dash…'],
    ['Ã© mojibake â€™s', "é mojibake 's"],
  ])('repairs %s', (text, expected) => {
    expect(openClipText(text)).toBe(expected);
  });
});
