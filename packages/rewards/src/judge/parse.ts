/** White space as Python's `\s` has it: with the separators U+001C to U+001F and U+0085, without U+FEFF. */
const SPACE =
  '[ \\t\\n\\r\\f\\v\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const FINAL_SCORE = new RegExp(`Final Score:${SPACE}*([1-5](?:\\.\\p{Nd}+)?)`, 'u');
const TAGGED_SCORE = /<Score>(\p{Nd}+)<\/Score>/u;

/**
 * UnifiedReward's reply to a score: the first `Final Score: N`, over 5; 0 without one. Only the first digit
 * has to be 1 to 5, as in flow_grpo, so 5.9 gives 1.18 and 10 gives 0.2.
 */
export function finalScore(reply: string): number {
  const found = FINAL_SCORE.exec(reply);
  return found ? Number(asciiDigits(found[1]!)) / 5 : 0;
}

/** flow_grpo's rule for Qwen-VL: the first `<Score>N</Score>` with a whole number, over 5; 0 without one. */
export function taggedScore(reply: string): number {
  const found = TAGGED_SCORE.exec(reply);
  return found ? Number(asciiDigits(found[1]!)) / 5 : 0;
}

/** Decimal digits of any script as 0 to 9, as Python's float reads them; Unicode keeps them in runs of ten. */
function asciiDigits(text: string): string {
  return text.replace(/\p{Nd}/gu, (digit) => {
    const point = digit.codePointAt(0)!;
    let first = point;
    while (/\p{Nd}/u.test(String.fromCodePoint(first - 1))) first--;
    return String((point - first) % 10);
  });
}
