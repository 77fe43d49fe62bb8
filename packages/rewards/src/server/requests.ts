import { z } from 'zod';
import { NdArray, PyTuple, unpickle } from '../remote/pickle';
import type { EncodedImage } from '../scorer';

/** What a request asks to be scored. */
export interface Batch {
  images: EncodedImage[];
  prompts: string[];
  metadata: Record<string, unknown>[];
  /** Whether metadata came along: GenEval's clients then want groups in the answer. */
  hasMetadata: boolean;
  /** Whether GenEval's strict rewards shall stand for the others too. */
  onlyStrict?: boolean;
}

/** A request that cannot be scored as it is. */
export class BadRequest extends Error {}

const About = z.object({
  prompts: z.array(z.string()).optional(),
  metadata: z.array(z.record(z.string(), z.unknown())).optional(),
});
const Request = About.extend({ images: z.array(z.string()) });

/** A body, whose errors (a broken form, a connection that ends early) are the client's fault. */
export async function received<T>(body: Promise<T>): Promise<T> {
  return body.catch((error: unknown) => {
    throw new BadRequest(`the body cannot be read: ${error instanceof Error ? error.message : error}`);
  });
}

/** Runs a parser, whose errors are the client's fault. */
function parsing<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new BadRequest(error instanceof Error ? error.message : String(error));
  }
}

function batchOf(images: Uint8Array[], prompts?: string[], metadata?: Record<string, unknown>[]): Batch {
  const batch = {
    images: images.map((bytes) => ({ bytes })),
    prompts: prompts ?? images.map(() => ''),
    metadata: metadata ?? images.map(() => ({})),
    hasMetadata: metadata !== undefined,
  };
  if (batch.prompts.length !== images.length || batch.metadata.length !== images.length) {
    throw new BadRequest('images, prompts and metadata differ in length');
  }
  return batch;
}

/** JSON with images in base64. */
export function readJson(text: string): Batch {
  const { images, prompts, metadata } = parsing(() => Request.parse(JSON.parse(text)));
  return batchOf(images.map(fromBase64), prompts, metadata);
}

function fromBase64(text: string, i: number): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw new BadRequest(`image ${i} is not base64`);
  }
  return Buffer.from(text, 'base64');
}

/** A form with files under `images`, and the rest as JSON under `request`. */
export async function readForm(form: FormData): Promise<Batch> {
  const files = form.getAll('images').filter((part) => typeof part !== 'string');
  const { prompts, metadata } = parsing(() => About.parse(JSON.parse(String(form.get('request') ?? '{}'))));
  const images = await Promise.all(files.map(async (file) => new Uint8Array(await file.arrayBuffer())));
  return batchOf(images, prompts, metadata);
}

/** flow_grpo's pickles: `images` with `prompts` or `meta_datas`. */
export function readPickle(body: Uint8Array): Batch {
  const request = parsing(() => unpickle(body));
  const field = (key: string): unknown[] | undefined => {
    const value = request instanceof Map ? request.get(key) : undefined;
    const list = value instanceof NdArray ? value.values : value;
    return Array.isArray(list) ? list : undefined;
  };
  const images = field('images');
  if (!images?.every((image) => image instanceof Uint8Array))
    throw new BadRequest('no list of bytes under images');
  const metadata = field('meta_datas')?.map((item, i) => {
    if (!(item instanceof Map)) throw new BadRequest(`the metadata of image ${i} is not a dictionary`);
    return plain(item) as Record<string, unknown>;
  });
  const prompts = field('prompts')?.map(String) ?? metadata?.map((item) => String(item?.prompt ?? ''));
  const onlyStrict = request instanceof Map && request.get('only_strict') === true;
  return { ...batchOf(images, prompts, metadata), onlyStrict };
}

/** Dictionaries with text keys as objects; `__proto__` stays plain data. The reader has bounded what this expands to. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof PyTuple) return value.items.map(plain);
  if (value instanceof NdArray) return value.values;
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  return value;
}
