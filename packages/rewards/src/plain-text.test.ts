import fc from 'fast-check';
import { expect, it } from 'vitest';
import { plainText } from './plain-text';

it.each([
  ['\x1b[31mred\x1b[0m', 'red'],
  ['\x1b]0;title\x07text', 'text'],
  ['\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\', 'link'],
  ['\x9b2Jgone', 'gone'],
  ['a\x1b', 'a'],
  ['a\x08\x08b\x00', 'ab'],
  ['over\rwritten', 'overwritten'],
  ['one\r\ntwo\tthree\n', 'one\r\ntwo\tthree\n'],
  ['\u202eevil', 'evil'],
  ['naïve 漢字 🎨', 'naïve 漢字 🎨'],
])('%j is shown as %j', (given, shown) => {
  expect(plainText(given)).toBe(shown);
});

it('leaves no control character of any text, and text without them as it is', () => {
  const pieces = fc.array(
    fc.oneof(fc.constantFrom('\x1b', '\x1b[', '\x9b', '\x07', '\x1b]', '\r', '\n', '2J'), fc.string()),
  );
  fc.assert(
    fc.property(pieces, (parts) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      expect(plainText(parts.join(''))).not.toMatch(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)/);
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      fc.pre(!/[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(text));
      expect(plainText(text)).toBe(text);
    }),
  );
  expect(plainText('\x1b]'.repeat(200_000)).length).toBe(0);
});
