import { dynamicShift, type Schedule, shiftedSchedule } from '@flow-grpo/sde-sampler';
import { z } from 'zod';

/** How noise levels are spaced: diffusers' FlowMatchEulerDiscreteScheduler as far as Z-Image uses it. */
export interface SchedulerConfig {
  /** s of the time shift; with `dynamic` it follows from the image's size instead. */
  readonly shift: number;
  readonly dynamic: boolean;
  /** The line of the dynamic shift's logarithm through (tokens, shift). */
  readonly baseTokens: number;
  readonly maxTokens: number;
  readonly baseShift: number;
  readonly maxShift: number;
}

/** That of Z-Image-Turbo. The base model's shift is 6. */
export const Z_IMAGE_SCHEDULER: SchedulerConfig = {
  shift: 3,
  dynamic: false,
  baseTokens: 256,
  maxTokens: 4096,
  baseShift: 0.5,
  maxShift: 1.15,
};

const off = (what: string) => z.literal(false, `${what} is not supported`).nullish();
const positive = z.number().positive();
const defaults = Z_IMAGE_SCHEDULER;
const schema = z.looseObject({
  shift: positive.default(1),
  use_dynamic_shifting: z.boolean().default(false),
  base_image_seq_len: positive.default(defaults.baseTokens),
  max_image_seq_len: positive.default(defaults.maxTokens),
  base_shift: z.number().default(defaults.baseShift),
  max_shift: z.number().default(defaults.maxShift),
  shift_terminal: z.null('a terminal shift is not supported').optional(),
  time_shift_type: z.literal('exponential', 'only exponential shifts are supported').default('exponential'),
  invert_sigmas: off('inverted time'),
  stochastic_sampling: off('stochastic sampling'),
  use_karras_sigmas: off('Karras spacing'),
  use_exponential_sigmas: off('exponential spacing'),
  use_beta_sigmas: off('beta spacing'),
});

/**
 * Reads scheduler/scheduler_config.json of a repository in diffusers' layout.
 *
 * @throws naming `source` and the option that is wrong or not supported
 */
export function parseSchedulerConfig(
  value: unknown,
  source = 'scheduler/scheduler_config.json',
): SchedulerConfig {
  const result = schema.safeParse(value);
  if (!result.success) throw new Error(`${source} is not valid: ${z.prettifyError(result.error)}`);
  const json = result.data;
  return {
    shift: json.shift,
    dynamic: json.use_dynamic_shifting,
    baseTokens: json.base_image_seq_len,
    maxTokens: json.max_image_seq_len,
    baseShift: json.base_shift,
    maxShift: json.max_shift,
  };
}

/** The same as diffusers writes it. */
export const schedulerConfigJson = (config: SchedulerConfig): Record<string, unknown> => ({
  _class_name: 'FlowMatchEulerDiscreteScheduler',
  base_image_seq_len: config.baseTokens,
  base_shift: config.baseShift,
  max_image_seq_len: config.maxTokens,
  max_shift: config.maxShift,
  num_train_timesteps: 1000,
  shift: config.shift,
  use_dynamic_shifting: config.dynamic,
});

/** s of the time shift for images of so many tokens. */
export const shiftFor = ({ dynamic, shift, ...line }: SchedulerConfig, imageTokens: number): number =>
  dynamic ? dynamicShift(imageTokens, line) : shift;

/** `steps` evaluations from noise to data, as the pipeline spaces them. */
export const scheduleFor = (config: SchedulerConfig, steps: number, imageTokens: number): Schedule =>
  shiftedSchedule(steps, shiftFor(config, imageTokens));
