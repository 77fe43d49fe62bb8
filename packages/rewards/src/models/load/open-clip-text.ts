import { decodeHTML } from 'entities';

/**
 * A prompt as open_clip's tokenizer sees it before its byte pairs: text repaired (the part of ftfy's
 * `fix_text` that matters to prompts), HTML entities decoded, white space collapsed, lower case; the marks of
 * start and end are taken apart, so that they are ordinary text in a prompt.
 */
export function openClipText(prompt: string): string {
  const repaired = fixText(prompt);
  return decodeHTML(decodeHTML(repaired))
    .trim()
    .replace(/\s+/g, ' ')
    .toLowerCase()
    .replace(/<\|(startoftext|endoftext)\|>/g, '<| $1 |>');
}

/** In ftfy's order: entities (unless there are tags), wrong encodings, ligatures, widths, quotes, controls. */
function fixText(text: string): string {
  return fixEncoding(text.includes('<') ? text : decodeHTML(text))
    .replace(/[\u0132\u0133\u0149\u01f1-\u01f3\u01c4-\u01cc\ufb00-\ufb06]/g, (c) => c.normalize('NFKC'))
    .replace(/[\u3000\uff01-\uffef]/g, (c) => c.normalize('NFKC'))
    .replace(/[\u02bc\u2018-\u201b]/g, "'")
    .replace(/[\u201c-\u201f]/g, '"')
    .replace(/\r\n?|[\u2028\u2029\u0085]/g, '\n')
    .replace(CONTROLS, '')
    .normalize('NFC');
}

/** Control characters and marks that say nothing: U+FEFF, the deprecated U+206A to U+206F, U+FFF9 to U+FFFC. */
const CONTROLS = /(?![\t\n\f\r\u0080-\u009f])[\p{Cc}\ufeff\u206a-\u206f\ufff9-\ufffc]/gu;

/** The characters that Windows-1252 has in place of C1 controls, with their bytes. */
const WINDOWS_1252 = new Map(
  [...'€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ'].map((character, i) => [
    character,
    0x80 + i,
  ]),
);

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Undoes UTF-8 that was read as Windows-1252 (Ã© for é), once or several times over. Runs of characters
 * beyond ASCII are judged each alone, and only those change that are whole UTF-8.
 */
function fixEncoding(text: string): string {
  const fixed = text.replace(/[\u0080-\uffff]{2,}/g, (run) => {
    const bytes = [...run].map((character) => {
      const code = WINDOWS_1252.get(character) ?? character.charCodeAt(0);
      return code <= 0xff ? code : undefined;
    });
    if (bytes.includes(undefined)) return run;
    try {
      return utf8.decode(Uint8Array.from(bytes as number[]));
    } catch {
      return run;
    }
  });
  return fixed === text ? text : fixEncoding(fixed);
}
