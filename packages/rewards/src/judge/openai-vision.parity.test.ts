import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fixtureCases, readJson } from '@flow-grpo/test-support';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { finalScore, openaiVision, taggedScore, unifiedRewardOpenai, unifiedRewardQuestion } from './index';

interface Reply {
  choices: { message: { content: string } }[];
}
interface JudgeCase {
  rows: { response: Reply; score: number }[];
  odd_responses: { what: string; response: unknown; reference: string }[];
  qwenvl_rows: { text: string; score: number }[];
  request: {
    images: { image: string; resized_rgb_sha256: string }[];
    questions: {
      caption: string;
      question_sha256: string;
      model: string;
      body_keys: string[];
      content_types: string[];
      url_prefix: string;
      temperature: number;
    }[];
  };
}
interface Body {
  model: string;
  messages: { content: { type: string; text?: string; image_url?: { url: string } }[] }[];
  temperature: number;
}

const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex');

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

  it('asks UnifiedReward what flow_grpo asks it, about the very pixels', async () => {
    const { baseURL, bodies, close } = await serving(() => rows[0]!.response);
    const asked = request.questions.flatMap((question) =>
      request.images.map((image) => ({ question, image })),
    );
    const { scores } = await unifiedRewardOpenai({ baseURL, concurrency: 1 }).score(
      asked.map(({ image }) => ({ bytes: readFileSync(join(dir, image.image)) })),
      asked.map(({ question }) => question.caption),
      asked.map(() => ({})),
    );
    close();
    expect(scores).toEqual(asked.map(() => rows[0]!.score));
    for (const [i, { question, image }] of asked.entries()) {
      const { model, temperature, messages, ...rest } = bodies[i]!;
      expect([model, temperature, rest]).toEqual([question.model, question.temperature, {}]);
      const [shown, text] = messages[0]!.content;
      expect(sha256(text!.text!)).toBe(question.question_sha256);
      expect(text!.text).toBe(unifiedRewardQuestion(question.caption));
      const file = Buffer.from(shown!.image_url!.url.slice(question.url_prefix.length), 'base64');
      expect(sha256(await sharp(file).removeAlpha().raw().toBuffer())).toBe(image.resized_rgb_sha256);
    }
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
