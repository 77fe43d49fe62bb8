import { setMaxListeners } from 'node:events';
import OpenAI from 'openai';
import pLimit from 'p-limit';
import { checkBatch, rgbImages } from '../images';
import type { Scorer } from '../scorer';

export interface OpenaiVisionOptions {
  /** The server's base address, such as `http://127.0.0.1:8080/v1`. */
  baseURL: string;
  model: string;
  /** The question for a prompt and its metadata, sent after the image. */
  question: (prompt: string, metadata: Record<string, unknown>) => string;
  /** The reply's text to a score, such as `finalScore`. */
  parse: (reply: string) => number;
  /** Default: the variable OPENAI_API_KEY, else a placeholder, which local servers accept. */
  apiKey?: string;
  /** Name among details. Default `openai_vision`. */
  name?: string;
  /** Requests under way at once. Default 8. */
  concurrency?: number;
  /** Further attempts of a request, with growing, jittered pauses. Default 5. */
  retries?: number;
  /** Milliseconds an attempt may take. Default 120 000. */
  timeout?: number;
}

/**
 * A vision language model behind an OpenAI-compatible server as judge: one request an image (PNG in its own
 * size, then the question; temperature 0), scores in the order of the images.
 *
 * @throws from `score` when the server keeps failing, or a reply has no text
 */
export function openaiVision(options: OpenaiVisionOptions): Scorer {
  const { baseURL, model, question, parse, name = 'openai_vision' } = options;
  const client = new OpenAI({
    baseURL,
    apiKey: options.apiKey ?? process.env.OPENAI_API_KEY ?? 'none',
    maxRetries: options.retries ?? 5,
    timeout: options.timeout ?? 120_000,
  });
  const limit = pLimit(options.concurrency ?? 8);
  return {
    name,
    async score(images, prompts, metadata, { signal } = {}) {
      signal?.throwIfAborted();
      checkBatch(name, images, prompts, metadata);
      const { default: sharp } = await import('sharp');
      const failed = new AbortController();
      const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
      setMaxListeners(0, either); // every waiting request listens
      const ask = async (
        i: number,
        { data, width, height }: { data: Uint8Array; width: number; height: number },
      ) => {
        either.throwIfAborted();
        const png = await sharp(data, { raw: { width, height, channels: 3 } })
          .png()
          .toBuffer();
        const image_url = { url: `data:image;base64,${png.toString('base64')}` };
        const text = question(prompts[i]!, metadata[i]!);
        const answer = await client.chat.completions.create(
          {
            model,
            messages: [
              {
                role: 'user',
                content: [
                  { type: 'image_url', image_url },
                  { type: 'text', text },
                ],
              },
            ],
            temperature: 0,
          },
          { signal: either },
        );
        const reply = answer.choices?.[0]?.message?.content;
        if (typeof reply !== 'string')
          throw new Error(`${name}: ${model} answered without text for image ${i}`);
        return parse(reply);
      };
      const pictures = await rgbImages(images);
      try {
        const asked = pictures.map((picture, i) =>
          limit(ask, i, picture).catch((error: unknown) => {
            failed.abort(error);
            throw error;
          }),
        );
        return { scores: await Promise.all(asked), details: {} };
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      }
    },
  };
}
