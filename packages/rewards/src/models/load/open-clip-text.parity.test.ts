import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { openClipText } from './open-clip-text';

interface Tokens {
  rows: { text: string; open_clip_ids: number[] | null }[];
}

/** What open_clip makes of the prompts that it reads otherwise than transformers does. */
const READ: Record<string, string> = {
  '&lt;b&gt; fish &amp; chips &amp;amp;': '<b> fish & chips &',
  '<|startoftext|> hidden <|endoftext|> tail': '<| startoftext |> hidden <| endoftext |> tail',
  '“curly” ‘quotes’ — dash…': '"curly" \'quotes\' — dash…',
  'Ã© mojibake â€™s': "é mojibake 's",
};

describe.each(fixtureCases('rewards-clip').filter(({ name }) => name === 'rewards-clip'))(
  '$name',
  ({ dir }) => {
    const { rows } = readJson<Tokens>(dir, 'tokens.json');

    it.each(rows)('reads $text', ({ text, open_clip_ids }) => {
      const plain = text.trim().replace(/\s+/g, ' ').toLowerCase().normalize('NFC');
      if (open_clip_ids) expect(openClipText(text)).toBe(READ[text]);
      else expect(openClipText(text)).toBe(plain);
    });
  },
);

describe('openClipText', () => {
  it.each([
    ['ï¬\u0081sh and ﬁre', 'fish and fire'],
    ['ＦＵＬＬ　width', 'full width'],
    ['twice broken: ÃƒÂ©', 'twice broken: é'],
    ['Â© 2024, a naïve façade, 50 €', '© 2024, a naïve façade, 50 €'],
    ['über Ångström, Ä Ö Ü', 'über ångström, ä ö ü'],
    ['a\u0000b\u007fc\ufeff d\r\ne', 'abc d e'],
    ['&eacute;t&#233; &notanentity;', 'été ¬anentity;'],
  ])('repairs %s', (text, expected) => {
    expect(openClipText(text)).toBe(expected);
  });
});
