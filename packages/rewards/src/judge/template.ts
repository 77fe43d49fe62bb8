import { plainText } from '../plain-text';

/** A question, the form of its reply, and how to parse it: spread it into the options of `openaiVision`. */
export interface JudgeTemplate {
  question: (prompt: string, metadata: Record<string, unknown>) => string;
  parse: (reply: string) => number;
  /** JSON Schema of the reply, for servers that can hold a model to it. */
  schema: Record<string, unknown>;
}

export interface ScoreTemplateOptions {
  /** What to judge, in words: one criterion a line. */
  criteria: string;
  /** The scale; default 1 to 5. Scores are brought from it to [0, 1]. */
  from?: number;
  to?: number;
  /** Ask for a sentence of reasoning before the number, which makes numbers better. Default true. */
  reasoning?: boolean;
}

/**
 * A judge that answers with a JSON object `{ reasoning, score }`. The question asks for it in words as well,
 * so that servers without structured output can be asked the same; `parse` finds the object within other text.
 *
 * @throws from `parse` when a reply has no number on the scale: a failure, which may be tried again, not a 0.
 */
export function scoreTemplate(options: ScoreTemplateOptions): JudgeTemplate {
  const { criteria, from = 1, to = 5, reasoning = true } = options;
  if (!(Number.isFinite(from) && to > from && Number.isFinite(to))) {
    throw new RangeError(`scoreTemplate: the scale must ascend, not go from ${from} to ${to}`);
  }
  const keys = reasoning ? ['reasoning', 'score'] : ['score'];
  const form = keys.map((key) => (key === 'score' ? '"score": number' : `"${key}": "one sentence"`));
  return {
    question: (prompt) =>
      `The image was made for this prompt:\n${prompt}\n\nJudge it by these criteria:\n${criteria}\n\n` +
      `Answer with a JSON object {${form.join(', ')}} and nothing else; the score goes from ${from} (worst) to ${to} (best).`,
    schema: {
      type: 'object',
      properties: {
        ...(reasoning && { reasoning: { type: 'string' } }),
        score: { type: 'number', minimum: from, maximum: to },
      },
      required: keys,
      additionalProperties: false,
    },
    parse: (reply) => (scoreIn(reply, from, to) - from) / (to - from),
  };
}

/** The number under `score` in the last JSON object of a reply that has one. */
function scoreIn(reply: string, from: number, to: number): number {
  for (const [object] of [...reply.matchAll(/\{[^{}]*\}/g)].reverse()) {
    const score = scoreOf(object);
    if (score === undefined) continue;
    if (score >= from && score <= to) return score;
    throw new Error(`the judge's score ${score} is not on the scale from ${from} to ${to}: ${brief(reply)}`);
  }
  throw new Error(`the judge's reply has no JSON object with a score: ${brief(reply)}`);
}

function scoreOf(object: string): number | undefined {
  try {
    const { score } = JSON.parse(object) as { score?: unknown };
    return typeof score === 'number' ? score : undefined;
  } catch {
    return undefined;
  }
}

const brief = (reply: string) => {
  const text = plainText(reply);
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
};
