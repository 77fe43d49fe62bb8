/** White space as Python's `str.strip` knows it; JavaScript's `trim` leaves some of it and takes U+FEFF. */
const isSpace = (character: string): boolean =>
  /\p{White_Space}/u.test(character) || (character >= '\u001c' && character <= '\u001f');

/** White space, control characters, and what has no shape of its own, such as zero-width spaces and joiners. */
const INVISIBLE = /^[\p{White_Space}\p{Cc}\p{Default_Ignorable_Code_Point}]*$/u;

/** Text without white space around it, as flow_grpo's `line.strip()` gives it. */
export function strip(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text[start]!)) start++;
  while (end > start && isSpace(text[end - 1]!)) end--;
  return text.slice(start, end);
}

/** Whether nothing of a text would be seen. */
export const isBlank = (text: string): boolean => INVISIBLE.test(text);
