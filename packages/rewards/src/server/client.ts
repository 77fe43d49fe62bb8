import { z } from 'zod';
import { encodePng, rgbImages } from '../images';
import { batchedClient } from '../remote/batched-client';
import { post, type RemoteOptions } from '../remote/post';
import type { EncodedImage, Scorer, ScorerImages } from '../scorer';

export interface RewardServerClientOptions extends RemoteOptions {
  /** Name among details. Default `server`. */
  name?: string;
}

const number = z.number().nullable();
const Answer = z.object({ scores: z.array(number), details: z.record(z.string(), z.array(number)) });

/**
 * The scorer that another process serves by `serve`: its scores and details, batches cut, sent again after
 * failures and put back in order as for flow_grpo's servers. Files are sent as they are, tensors as PNG.
 *
 * @throws from `score` when the server keeps failing, or answers with another number of scores
 */
export function rewardServerClient(options: RewardServerClientOptions): Scorer {
  const { name = 'server' } = options;
  const url = `${options.url.replace(/\/$/, '')}/score`;
  return batchedClient(name, options, files, async (batch, signal) => {
    const form = new FormData();
    const request = {
      prompts: batch.map((item) => item.prompt),
      metadata: batch.map((item) => item.metadata),
    };
    form.append('request', JSON.stringify(request, plainNumbers));
    for (const { image } of batch) form.append('images', new Blob([Uint8Array.from(image.bytes)]), 'image');
    const encoded = new Response(form);
    const headers = { ...options.headers, 'content-type': encoded.headers.get('content-type')! };
    const body = new Uint8Array(await encoded.arrayBuffer());
    const answer = await post(body, { ...options, url, headers }, signal);
    return read(name, url, answer, batch.length);
  });
}

const files = async (images: ScorerImages): Promise<EncodedImage[]> =>
  Array.isArray(images)
    ? images
    : Promise.all((await rgbImages(images)).map(async (image) => ({ bytes: await encodePng(image) })));

function read(name: string, url: string, answer: Uint8Array, count: number) {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(answer).toString('utf8'));
  } catch {}
  const parsed = Answer.safeParse(json);
  if (!parsed.success) throw new Error(`${name}: ${url} did not answer with scores and details`);
  const { scores, details } = parsed.data;
  const rows = Object.entries(details).map(([key, values]) => [key, numbers(values)] as const);
  const odd = [['scores', scores] as const, ...rows].find(([, values]) => values.length !== count);
  if (odd) throw new Error(`${name}: ${url} answered with ${odd[1].length} ${odd[0]} for ${count} images`);
  return { scores: numbers(scores), details: Object.fromEntries(rows) };
}

/** JSON has no NaN: it comes as null. */
const numbers = (values: readonly (number | null)[]): number[] => values.map((value) => value ?? Number.NaN);

/** Whole numbers of 64 bits, as Parquet has them: JSON's numbers as far as those are exact, else their digits as text. */
const plainNumbers = (_: string, value: unknown): unknown =>
  typeof value === 'bigint' ? (Number.isSafeInteger(Number(value)) ? Number(value) : String(value)) : value;
