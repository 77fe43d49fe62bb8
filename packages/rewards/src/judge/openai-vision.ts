import type OpenAI from 'openai';
import pLimit from 'p-limit';
import { checkedScorer } from '../checked-scorer';
import { encodePng, type RgbImage, rgbImages } from '../images';
import { mapConcurrent } from '../map-concurrent';
import { pillowResize } from '../models/preprocess';
import { plainText } from '../plain-text';
import type { Scorer } from '../scorer';

export interface OpenaiVisionOptions {
  /** The server's base address, such as `http://127.0.0.1:8080/v1`. */
  baseURL: string;
  model: string;
  /** The question for a prompt and its metadata, sent after the image. */
  question: (prompt: string, metadata: Record<string, unknown>) => string;
  /** The reply's text to a score, such as `finalScore`. */
  parse: (reply: string) => number;
  /**
   * JSON Schema for the reply (`response_format`), such as `scoreTemplate`'s. If the server refuses it, later requests
   * leave it out.
   */
  schema?: Record<string, unknown>;
  /** Resizes images to this size, with Pillow's bicubic; by default they keep their own. */
  resize?: { width: number; height: number };
  /** Default: the variable OPENAI_API_KEY, else a placeholder, which local servers accept. */
  apiKey?: string;
  /** Name among details. Default `openai_vision`. */
  name?: string;
  /** Concurrent requests. Default 8. */
  concurrency?: number;
  /** Further attempts of a request, with growing, jittered pauses. Default 5. */
  retries?: number;
  /** Milliseconds an attempt may take. Default 120 000. */
  timeout?: number;
}

/** Statuses of servers that do not know `response_format`. */
const REFUSED = new Set([400, 404, 415, 422, 501]);

/**
 * A vision language model behind an OpenAI-compatible server as judge: one request per image (as PNG, then the
 * question; temperature 0), scores in the order of the images.
 *
 * @throws from `score` when the server keeps failing, or a reply has no text
 */
export function openaiVision(options: OpenaiVisionOptions): Scorer {
  const { baseURL, model, question, parse, resize, schema, name = 'openai_vision' } = options;
  const apiKey = options.apiKey ?? process.env.OPENAI_API_KEY ?? 'none';
  const { retries: maxRetries = 5, timeout = 120_000 } = options;
  let client: OpenAI | undefined;
  const limit = pLimit(options.concurrency ?? 8);
  let structured = schema !== undefined;

  const reply = async (content: OpenAI.ChatCompletionContentPart[], signal: AbortSignal) => {
    const { OpenAI: Client, APIError } = await import('openai');
    client ??= new Client({ baseURL, apiKey, maxRetries, timeout });
    const { completions } = client.chat;
    const request = { model, messages: [{ role: 'user' as const, content }], temperature: 0 };
    const plain = () => completions.create(request, { signal });
    if (!structured) return plain();
    const response_format = {
      type: 'json_schema' as const,
      json_schema: { name: 'judgement', strict: true, schema },
    };
    try {
      return await completions.create({ ...request, response_format }, { signal });
    } catch (error) {
      if (!(error instanceof APIError && REFUSED.has(error.status))) throw error;
      // The refusal may have another reason: only an answer without the schema shows that it was the schema.
      const answer = await plain();
      structured = false;
      return answer;
    }
  };

  return checkedScorer(name, async (images, prompts, metadata, { signal }) => {
    const ask = async (image: RgbImage, i: number, either: AbortSignal) => {
      const sent = resize ? pillowResize(image, resize.width, resize.height) : image;
      const image_url = { url: `data:image;base64,${(await encodePng(sent)).toString('base64')}` };
      const text = question(prompts[i]!, metadata[i]!);
      const answer = await reply(
        [
          { type: 'image_url', image_url },
          { type: 'text', text },
        ],
        either,
      ).catch((error: Error) => {
        error.message = plainText(error.message); // the server's own words are part of it
        throw error;
      });
      const said = answer.choices?.[0]?.message?.content;
      if (typeof said !== 'string') throw new Error(`${name}: ${model} answered without text for image ${i}`);
      return parse(said);
    };
    return { scores: await mapConcurrent(await rgbImages(images), ask, { signal, limit }), details: {} };
  });
}
