import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import sharp from 'sharp';
import { afterEach, describe, expect, it } from 'vitest';
import { openaiVision, scoreTemplate } from './index';

describe('scoreTemplate', () => {
  const { question, parse, schema } = scoreTemplate({ criteria: '- Is it sharp?', from: 1, to: 5 });

  it('asks for the prompt, the criteria and the form of the answer', () => {
    const text = question('a red cube', {});
    for (const part of ['a red cube', '- Is it sharp?', '"reasoning"', '"score"', '1 (worst)', '5 (best)']) {
      expect(text).toContain(part);
    }
    expect(schema).toMatchObject({ required: ['reasoning', 'score'], additionalProperties: false });
    const bare = scoreTemplate({ criteria: 'x', reasoning: false });
    expect(bare.question('p', {})).not.toContain('reasoning');
    expect(bare.schema.required).toEqual(['score']);
  });

  it.each([
    ['{"reasoning": "fine", "score": 5}', 1],
    ['{"score": 2.0}', 0.25],
    ['Here it is:\n```json\n{"reasoning": "so-so", "score": 3}\n```', 0.5],
    ['First {"score": 1}, no: {"score": 4}.', 0.75],
    ['{"score": 2} as in {x: 1}', 0.25],
  ])('reads %s', (reply, score) => {
    expect(parse(reply)).toBe(score);
  });

  it.each([
    ['no number at all', 'no JSON object with a score'],
    ['{"score": "4"}', 'no JSON object with a score'],
    ['{"score": 7}', 'score 7 is not on the scale from 1 to 5'],
  ])('takes %s for a failure', (reply, message) => {
    expect(() => parse(reply)).toThrow(message);
  });

  it('refuses a scale that does not ascend', () => {
    expect(() => scoreTemplate({ criteria: 'x', from: 5, to: 1 })).toThrow('not go from 5 to 1');
  });
});

interface Body {
  response_format?: { type: string; json_schema: { schema: unknown; strict: boolean } };
}
const servers: { close: () => void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A judge that gives `status` to requests for which `refuses` holds, and a 4 to the others. */
async function judging(refuses: (body: Body) => boolean, status = 400) {
  const bodies: Body[] = [];
  const server = createServer(async (incoming, outgoing) => {
    let text = '';
    for await (const chunk of incoming) text += chunk;
    const body = JSON.parse(text) as Body;
    bodies.push(body);
    const content = '{"reasoning": "as asked", "score": 4}';
    outgoing.setHeader('content-type', 'application/json');
    if (refuses(body)) outgoing.writeHead(status).end('{"error": {"message": "refused"}}');
    else outgoing.end(JSON.stringify({ choices: [{ message: { content } }] }));
  });
  servers.push(server);
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  return { baseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, bodies };
}

describe('structured output', async () => {
  const template = scoreTemplate({ criteria: 'any' });
  const bytes = await sharp({ create: { width: 2, height: 2, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  const score = (baseURL: string, count: number) => {
    const judge = openaiVision({ baseURL, model: 'm', ...template, retries: 0, concurrency: 1 });
    const images = new Array(count).fill({ bytes });
    return judge.score(
      images,
      images.map(() => 'p'),
      images.map(() => ({})),
    );
  };

  it('sends the schema to a server that takes it', async () => {
    const { baseURL, bodies } = await judging(() => false);
    expect((await score(baseURL, 2)).scores).toEqual([0.75, 0.75]);
    for (const { response_format } of bodies) {
      expect(response_format).toMatchObject({
        type: 'json_schema',
        json_schema: { schema: template.schema, strict: true },
      });
    }
  });

  it('asks a server that refuses the schema without it, from then on', async () => {
    const { baseURL, bodies } = await judging((body) => body.response_format !== undefined, 422);
    expect((await score(baseURL, 3)).scores).toEqual([0.75, 0.75, 0.75]);
    expect(bodies.map((body) => body.response_format !== undefined)).toEqual([true, false, false, false]);
  });

  it('does not blame the schema for what is refused without it too', async () => {
    const { baseURL } = await judging(() => true);
    await expect(score(baseURL, 1)).rejects.toThrow('refused');
  });
});
