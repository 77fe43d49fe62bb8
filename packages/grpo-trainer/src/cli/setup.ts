/** What the command trains: a module of one's own, or the built-in toy. */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as tf from '@tensorflow/tfjs-core';
import { ConfigError } from '../config/resolve';
import { gaussianFlow } from '../policies/gaussian-flow';
import type { Params, Policy } from '../policy';
import type { FlowBatch, FlowMatchingOptions } from '../pretrain/flow-matching';
import type { PromptSource, Scorer } from '../scorer';

/** What a setup module's default export returns; it is called once the backend is ready. */
export interface RunSetup {
  readonly policy?: Policy<unknown, unknown>;
  readonly prompts?: PromptSource;
  readonly scorer?: Scorer;
  readonly evalPrompts?: PromptSource;
  /** For `flow-grpo pretrain`. */
  readonly pretrain?: {
    readonly params: Params;
    readonly velocity: (params: Params, x: tf.Tensor, t: tf.Tensor, condition: unknown) => tf.Tensor;
    readonly batchAt: (step: number) => FlowBatch<unknown> | Promise<FlowBatch<unknown>>;
    readonly options: FlowMatchingOptions;
  };
}

export type SetupFunction = () => RunSetup | Promise<RunSetup>;

/** Types a setup module's default export. */
export const defineSetup = (setup: SetupFunction): SetupFunction => setup;

/**
 * Loads `toy` or a module whose default export is a {@link SetupFunction}.
 *
 * @throws {ConfigError} when the module cannot be found or exports something else.
 */
export async function loadSetup(name: string): Promise<RunSetup> {
  if (name === 'toy') return toy();
  const file = resolve(name);
  const module = (await import(pathToFileURL(file).href).catch((error: Error) => {
    throw new ConfigError(`setup: ${file} cannot be loaded: ${error.message}`);
  })) as { default?: unknown };
  if (typeof module.default !== 'function') {
    throw new ConfigError(`setup: ${file} must export a function by default (see defineSetup)`);
  }
  return (module.default as SetupFunction)();
}

/** Points in the plane that should move to four places: trains in seconds, needs no model. */
function toy(): RunSetup {
  const places: Record<string, [number, number]> = {
    'top left': [0.2, 0.8],
    'top right': [0.8, 0.8],
    'bottom left': [0.2, 0.2],
    'bottom right': [0.8, 0.2],
  };
  const prompts = Object.keys(places).map((prompt) => ({ prompt }));
  return {
    policy: gaussianFlow({ prompts: Object.keys(places), mean: [0.5, 0.5, 0.5], std: 0.1 }) as Policy<
      unknown,
      unknown
    >,
    prompts,
    evalPrompts: Array.from({ length: 64 }, (_, i) => prompts[i % prompts.length]!),
    scorer: {
      name: 'distance',
      async score(images, asked) {
        const pixels = await images.data();
        const scores = asked.map((prompt, i) => {
          const [x, y] = places[prompt]!;
          return Math.exp(-((pixels[3 * i]! - x) ** 2 + (pixels[3 * i + 1]! - y) ** 2) / 0.1);
        });
        return { scores, details: {} };
      },
    },
  };
}
