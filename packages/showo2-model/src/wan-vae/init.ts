import { drawParams, type ParameterSpec, type Params } from '@flow-grpo/nn';
import type { WanVaeConfig } from './config';
import { vaeParamShapes } from './shapes';

/**
 * A new VAE's parameters under upstream's names, started as PyTorch starts convolutions (uniform within
 * 1/√fan-in), but for gains of 1 and the attention's projections of 0. A function of the seed alone.
 */
export function initVaeParams(config: WanVaeConfig, seed: number): Params {
  const shapes = vaeParamShapes(config);
  const specs = Object.entries(shapes).map(([name, shape]): [string, ParameterSpec] => {
    if (name.endsWith('.gamma')) return [name, { shape, start: { constant: 1 } }];
    if (name.endsWith('.proj.weight')) return [name, { shape, start: { constant: 0 } }];
    const [, ...kernel] = shapes[name.replace(/bias$/, 'weight')]!;
    const fanIn = kernel.reduce((product, size) => product * size, 1);
    return [name, { shape, start: { uniform: 1 / Math.sqrt(fanIn) } }];
  });
  return drawParams(Object.fromEntries(specs), seed);
}
