/** A line of text that an engine read. */
export interface TextLine {
  text: string;
  /** In [0, 1]; lines that are not above 0 do not count. */
  confidence: number;
}

export interface TextScore {
  /** 1 when the target was read, down to 0. */
  score: number;
  /** Edit distance in code points, at most the target's length; 0 when the target is part of what was read. */
  distance: number;
  /** What was read, without spaces, in lower case. */
  text: string;
}

/**
 * The text a prompt asks for: between its first and second straight quotation mark (to the end without a
 * second one), without spaces, in lower case.
 *
 * @throws when the prompt has no quotation mark or nothing but spaces between them; upstream fails there with
 *   an IndexError or a division by zero.
 */
export function quotedTarget(prompt: string): string {
  const quoted = prompt.split('"')[1];
  const target = quoted === undefined ? '' : plain(quoted);
  if (target === '') {
    throw new Error(`The prompt has no text in straight quotation marks to look for: ${prompt}`);
  }
  return target;
}

/**
 * flow_grpo's OCR reward: 1 − distance / length, where the distance is 0 when the target is part of the text
 * and else Levenshtein's, at most the target's length. Lengths count code points.
 *
 * @param target from `quotedTarget`
 * @param alone whether the target must be all there is to read: text around it then counts as distance
 */
export function textScore(target: string, lines: readonly TextLine[], alone = false): TextScore {
  const text = plain(lines.map((line) => (line.confidence > 0 ? line.text : '')).join(''));
  const length = [...target].length;
  const distance = !alone && text.includes(target) ? 0 : Math.min(editDistance(text, target), length);
  return { score: 1 - distance / length, distance, text };
}

/** Only the space itself is removed: tabs, line feeds and no-break spaces stay, as upstream. */
const plain = (text: string): string => text.replaceAll(' ', '').toLowerCase();

/** Levenshtein distance in code points: insertions, deletions and substitutions cost 1. */
export function editDistance(a: string, b: string): number {
  const left = [...a];
  const right = [...b];
  let row = Uint32Array.from({ length: right.length + 1 }, (_, j) => j);
  for (const [i, symbol] of left.entries()) {
    const next = new Uint32Array(row.length);
    next[0] = i + 1;
    for (let j = 0; j < right.length; j++) {
      const substituted = row[j]! + (symbol === right[j] ? 0 : 1);
      next[j + 1] = Math.min(substituted, row[j + 1]! + 1, next[j]! + 1);
    }
    row = next;
  }
  return row[right.length]!;
}
