import { parse } from 'yaml';
import { z } from 'zod';
import { type Showo2Config, textLimit } from './config';
import { parseShowo2Config } from './schema';

/** How upstream's scripts sample, from the same YAML. */
export interface SamplingDefaults {
  guidanceScale: number;
  /** Points of the time grid, one more than the steps. */
  gridPoints: number;
  /** s of the shift t / (t + s - s t). */
  shift: number;
  /** Side of the images in pixels. */
  resolution?: number;
}

const fileSchema = z.looseObject({
  model: z.looseObject({ showo: z.record(z.string(), z.unknown()) }),
  dataset: z
    .looseObject({
      preprocessing: z
        .looseObject({
          max_seq_length: z.number().int().positive().optional(),
          num_t2i_image_tokens: z.number().int().positive().optional(),
          resolution: z.number().int().positive().optional(),
        })
        .optional(),
    })
    .optional(),
  transport: z
    .looseObject({
      guidance_scale: z.number().min(0).default(5),
      num_inference_steps: z.number().int().positive().default(50),
      time_shifting_factor: z.number().positive().default(3),
    })
    .optional(),
});

/**
 * Reads upstream's YAML (configs/showo2_*.yaml): the model's sizes, and how its scripts sample. References such as
 * `${model.showo.image_latent_height}` are resolved.
 */
export function parseShowo2Yaml(
  text: string,
  source = 'the Show-o2 YAML',
): { model: Showo2Config; sampling: SamplingDefaults } {
  const root: unknown = parse(text);
  const result = fileSchema.safeParse(resolveReferences(root, root, source));
  if (!result.success) throw new Error(`${source} is not valid: ${z.prettifyError(result.error)}`);
  const { model, dataset, transport } = result.data;
  const base = parseShowo2Config(model.showo, source);
  const preprocessing = dataset?.preprocessing ?? {};
  const { max_seq_length: length, num_t2i_image_tokens: patches, resolution } = preprocessing;
  return {
    model: length === undefined ? base : { ...base, maxTextLength: limitOf(base, length, patches, source) },
    sampling: {
      guidanceScale: transport?.guidance_scale ?? 5,
      gridPoints: transport?.num_inference_steps ?? 50,
      shift: transport?.time_shifting_factor ?? 3,
      ...(resolution && { resolution }),
    },
  };
}

function limitOf(base: Showo2Config, length: number, patches: number | undefined, source: string): number {
  const imageTokens = patches ?? base.gridHeight * base.gridWidth;
  const limit = textLimit(length, imageTokens, base.addTimeEmbeds);
  if (limit > 0) return limit;
  throw new Error(`${source}: max_seq_length ${length} leaves no text beside ${imageTokens} image tokens.`);
}

function resolveReferences(value: unknown, root: unknown, source: string, depth = 0): unknown {
  if (depth > 32) throw new Error(`${source}: references go in circles.`);
  if (typeof value === 'string') {
    const path = /^\$\{([\w.]+)\}$/.exec(value)?.[1];
    if (path === undefined) return value;
    let target: unknown = root;
    for (const key of path.split('.')) target = (target as Record<string, unknown> | undefined)?.[key];
    if (target === undefined) throw new Error(`${source}: ${value} refers to nothing.`);
    return resolveReferences(target, root, source, depth + 1);
  }
  if (Array.isArray(value)) return value.map((item) => resolveReferences(item, root, source, depth));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, resolveReferences(item, root, source, depth)]),
  );
}
