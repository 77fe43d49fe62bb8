import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { finalScore, openaiVision, taggedScore } from './index';

interface Reply {
  choices: { message: { content: string } }[];
}
interface JudgeCase {
  rows: { response: Reply; score: number }[];
  odd_responses: { what: string; response: unknown; reference: string }[];
  qwenvl_rows: { text: string; score: number }[];
  request: {
    images: { image: string }[];
    questions: { body_keys: string[]; content_types: string[]; url_prefix: string; temperature: number }[];
  };
}
interface Body {
  messages: { content: { type: string; text?: string; image_url?: { url: string } }[] }[];
  temperature: number;
}

/** Answers each request by the row its question names. */
async function serving(answer: (row: number) => unknown) {
  const bodies: Body[] = [];
  const http = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Body;
    bodies.push(body);
    const reply = answer(Number(body.messages[0]!.content[1]!.text));
    outgoing.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(reply));
  });
  await new Promise<void>((ready) => http.listen(0, '127.0.0.1', ready));
  return {
    baseURL: `http://127.0.0.1:${(http.address() as AddressInfo).port}/v1`,
    bodies,
    close: () => http.close(),
  };
}

describe.each(fixtureCases('rewards-unifiedreward-openai'))('$name', ({ dir }) => {
  const { rows, odd_responses, qwenvl_rows, request } = readJson<JudgeCase>(dir, 'unifiedreward.json');
  const file = { bytes: readFileSync(join(dir, request.images[0]!.image)) };
  const judge = (baseURL: string) =>
    openaiVision({ baseURL, model: 'judge', question: (prompt) => prompt, parse: finalScore, retries: 0 });

  it.each(rows.map(({ response, score }) => ({ reply: response.choices[0]!.message.content, score })))(
    'reads $score in $reply',
    ({ reply, score }) => {
      expect(finalScore(reply)).toBe(score);
    },
  );

  it.each(qwenvl_rows)('reads $score in $text', ({ text, score }) => {
    expect(taggedScore(text)).toBe(score);
  });

  it('asks a server about each image and keeps the order', async () => {
    const { baseURL, bodies, close } = await serving((row) => rows[row]!.response);
    const { scores } = await judge(baseURL).score(
      rows.map(() => file),
      rows.map((_, i) => String(i)),
      rows.map(() => ({})),
    );
    expect(scores).toEqual(rows.map((row) => row.score));
    for (const wanted of request.questions) {
      expect(Object.keys(bodies[0]!).toSorted()).toEqual(wanted.body_keys.toSorted());
      expect(bodies[0]!.messages[0]!.content.map((part) => part.type)).toEqual(wanted.content_types);
      expect(bodies[0]!.messages[0]!.content[0]!.image_url!.url.startsWith(wanted.url_prefix)).toBe(true);
      expect(bodies[0]!.temperature).toBe(wanted.temperature);
    }
    close();
  });

  it.each(odd_responses)('copes with $what: $reference', async ({ response, reference }) => {
    const { baseURL, close } = await serving(() => response);
    const scoring = judge(baseURL).score([file], ['0'], [{}]);
    const usable = /^content only: ([\d.]+)/.exec(reference);
    if (usable) expect((await scoring).scores).toEqual([Number(usable[1])]);
    else await expect(scoring).rejects.toThrow();
    close();
  });
});
