import { z } from 'zod';
import { jpegCompressibility, jpegIncompressibility } from '../jpeg/jpeg-size';
import { unifiedRewardOpenai } from '../judge';
import { aesthetic, clipScore, hpsv2, imageReward, pickScore } from '../models';
import { editDistance, ocr } from '../ocr';
import { deqa, geneval, unifiedReward } from '../remote';
import type { Scorer } from '../scorer';
import { rewardServer } from '../server/client';
import { shapeEval } from '../shapes';

/** A reward that can be asked for by name, with options that a file or a command line can hold. */
export interface NamedReward {
  /** What the score means, in a few words. */
  readonly summary: string;
  /** Whether a score depends on the prompt (or on metadata that come with it). */
  readonly needsPrompts: boolean;
  /** Whether it runs a model on the tensor backend. */
  readonly needsBackend: boolean;
  /** Where to get its checkpoint, for models. */
  readonly checkpoint?: string;
  readonly options: z.ZodObject;
  readonly make: (options: never) => Scorer | Promise<Scorer>;
}

const named = <T extends z.ZodRawShape>(
  about: Omit<NamedReward, 'options' | 'make'>,
  shape: T,
  make: (options: z.output<z.ZodObject<T>>) => Scorer | Promise<Scorer>,
): NamedReward => ({ ...about, options: z.strictObject(shape), make });

const text = z.string().min(1);
const count = z.int().min(1);
const model = {
  model: text.optional(),
  processor: text.optional(),
  dtype: z.enum(['float32', 'bfloat16']).optional(),
  batchSize: count.optional(),
};
const server = {
  url: z.url(),
  batchSize: count.optional(),
  concurrency: count.optional(),
  retries: z.int().min(0).optional(),
  timeout: z.number().positive().optional(),
};
const judge = {
  baseURL: z.url(),
  model: text.optional(),
  concurrency: count.optional(),
  retries: z.int().min(0).optional(),
  timeout: z.number().positive().optional(),
};
const plain = { needsPrompts: false, needsBackend: false };
const withPrompts = { needsPrompts: true, needsBackend: false };
const onBackend = { needsPrompts: true, needsBackend: true };
const hub = (id: string, files: string) => `https://huggingface.co/${id} (${files})`;

/** Every reward by the name flow_grpo has for it, where it has one. */
export const NAMED_REWARDS = {
  pickscore: named(
    {
      ...onBackend,
      summary: 'PickScore, divided by 26',
      checkpoint: `${hub('yuvalkirstain/PickScore_v1', 'config.json, model.safetensors')}, as option processor ${hub('laion/CLIP-ViT-H-14-laion2B-s32B-b79K', 'tokenizer.json, preprocessor_config.json')}`,
    },
    model,
    pickScore,
  ),
  clipscore: named(
    {
      ...onBackend,
      summary: "CLIP's agreement of image and prompt, divided by 30",
      checkpoint: hub(
        'openai/clip-vit-large-patch14',
        'config.json, model.safetensors, tokenizer.json, preprocessor_config.json',
      ),
    },
    model,
    clipScore,
  ),
  aesthetic: named(
    {
      needsPrompts: false,
      needsBackend: true,
      summary: 'the improved aesthetic predictor, about 1 to 10',
      checkpoint: `${hub('openai/clip-vit-large-patch14', 'config.json, model.safetensors')}, as option head sac+logos+ava1-l14-linearMSE.pth of https://github.com/christophschuhmann/improved-aesthetic-predictor`,
    },
    { ...model, head: text },
    aesthetic,
  ),
  imagereward: named(
    {
      ...onBackend,
      summary: 'ImageReward, about -2 to 2',
      checkpoint: `${hub('THUDM/ImageReward', 'ImageReward.pt')}, as option processor ${hub('google-bert/bert-base-uncased', 'tokenizer.json')}`,
    },
    { ...model, file: text.optional() },
    imageReward,
  ),
  hpsv2: named(
    {
      ...onBackend,
      summary: 'HPSv2, about 0.2 to 0.35',
      checkpoint: `${hub('xswu/HPSv2', 'HPS_v2.1_compressed.pt')}, as option processor ${hub('openai/clip-vit-large-patch14', 'tokenizer.json')}`,
    },
    {
      ...model,
      file: text.optional(),
      resize: z.enum(['antialias', 'plain', 'pillow']).optional(),
    },
    hpsv2,
  ),
  ocr: named({ ...withPrompts, summary: 'how close the text read is to what the prompt quotes' }, {}, () =>
    ocr(),
  ),
  geneval: named(
    { ...withPrompts, summary: "flow_grpo's GenEval server" },
    { ...server, onlyStrict: z.boolean().optional() },
    geneval,
  ),
  deqa: named({ ...plain, summary: "flow_grpo's DeQA server of image quality" }, server, deqa),
  unifiedreward: named(
    { ...withPrompts, summary: "flow_grpo's UnifiedReward server" },
    server,
    unifiedReward,
  ),
  unifiedreward_openai: named(
    { ...withPrompts, summary: 'UnifiedReward behind an OpenAI-compatible server' },
    judge,
    unifiedRewardOpenai,
  ),
  server: named({ ...withPrompts, summary: "a server of this package's serve()" }, server, rewardServer),
  jpeg_compressibility: named({ ...plain, summary: '-kB / 500 as JPEG of quality 95' }, {}, () =>
    jpegCompressibility(),
  ),
  jpeg_incompressibility: named({ ...plain, summary: 'kB as JPEG of quality 95' }, {}, () =>
    jpegIncompressibility(),
  ),
  shapes: named(
    { ...withPrompts, summary: "GenEval's question for scenes of coloured shapes; needs metadata" },
    { strictWeight: z.number().min(0).max(1).optional() },
    shapeEval,
  ),
} satisfies Record<string, NamedReward>;

export type RewardName = keyof typeof NAMED_REWARDS;

/** @throws when there is no reward of that name, with the nearest one. */
export function namedReward(name: string): NamedReward {
  if (Object.hasOwn(NAMED_REWARDS, name)) return NAMED_REWARDS[name as RewardName];
  const names = Object.keys(NAMED_REWARDS);
  throw new Error(`there is no reward ${name}${didYouMean(name, names)}; there are ${names.join(', ')}`);
}

/**
 * A scorer by name, its options checked.
 *
 * @throws naming the reward, the option, or where to get the checkpoint of a model that cannot be loaded
 */
export async function makeReward(
  name: string,
  options: Readonly<Record<string, unknown>> = {},
): Promise<Scorer> {
  const reward = namedReward(name);
  const checked = reward.options.safeParse(options);
  if (!checked.success) throw new Error(optionError(name, reward, checked.error));
  try {
    return await reward.make(checked.data as never);
  } catch (error) {
    const source = reward.checkpoint ? `\nThe published checkpoint is at ${reward.checkpoint}.` : '';
    throw new Error(`${name}: ${(error as Error).message}${source}`, { cause: error });
  }
}

function optionError(name: string, { options, checkpoint }: NamedReward, error: z.ZodError): string {
  const known = Object.keys(options.shape);
  const lines = error.issues.map((issue) => {
    if (issue.code === 'unrecognized_keys') {
      const there = known.length > 0 ? `; there are ${known.join(', ')}` : '; it takes none';
      return `${name} has no option ${issue.keys[0]}${didYouMean(issue.keys[0]!, known)}${there}`;
    }
    const source = checkpoint && issue.path[0] === 'head' ? `. It is published at ${checkpoint}` : '';
    return `${name}.${issue.path.join('.')}: ${issue.message}${source}`;
  });
  return lines.join('\n');
}

/** Asks for the nearest name where a name is near enough to be a slip. */
function didYouMean(given: string, names: readonly string[]): string {
  const lower = given.toLowerCase().replace(/[^a-z0-9]/g, '');
  const [nearest] = names
    .map((name) => ({ name, distance: editDistance(lower, name.toLowerCase().replaceAll('_', '')) }))
    .sort((a, b) => a.distance - b.distance);
  return nearest && nearest.distance <= Math.max(2, lower.length / 3)
    ? ` (did you mean ${nearest.name}?)`
    : '';
}
