/** Which layers adapters belong to, and where a record holds them: under their own names, or stacked for a scan. */
import { type NamePattern, type Params, selectNames } from '../params';

/** What an adapter's two factors are called behind the layer's name, as PEFT calls them. */
export const DOWN = '.lora_A.weight';
export const UP = '.lora_B.weight';
/** The factor on their product, a scalar ([layers] in a stack) beside them. */
export const SCALE = '.lora_scale';

const WEIGHT = '.weight';

/** Names of the layers that adapters belong to. */
export const adaptedNames = (adapters: Params): string[] =>
  Object.keys(adapters)
    .filter((name) => name.endsWith(DOWN))
    .map((name) => name.slice(0, -DOWN.length));

/** Weights by name, of which the shapes are looked at. */
type Shapes = Readonly<Record<string, { readonly shape: readonly number[] }>>;

/** [out, in] of every linear layer by its own name without `.weight`, stacked layers one by one. */
export function linearShapes(params: Shapes): Map<string, [number, number]> {
  const shapes = new Map<string, [number, number]>();
  for (const [name, { shape }] of Object.entries(params)) {
    if (!name.endsWith(WEIGHT) || /embed(ding|_tokens)|lora_/.test(name)) continue;
    const layer = name.slice(0, -WEIGHT.length);
    if (!layer.split('.').includes('*')) {
      if (shape.length === 2) shapes.set(layer, [shape[0]!, shape[1]!]);
    } else if (shape.length === 3) {
      const [count, out, into] = shape as [number, number, number];
      for (let i = 0; i < count; i++) shapes.set(layerOfStack(layer, i), [out, into]);
    }
  }
  return shapes;
}

/** `blocks.*.q` → `blocks.3.q` */
export const layerOfStack = (stack: string, index: number): string =>
  stack
    .split('.')
    .map((part) => (part === '*' ? `${index}` : part))
    .join('.');

/**
 * The linear layers of `params` that fit a pattern, by their own names without `.weight`, stacked layers one by one.
 * Tables of embeddings are none.
 *
 * @throws when a pattern fits no layer.
 */
export const loraTargets = (params: Shapes, targets: readonly NamePattern[]): string[] =>
  selectNames([...linearShapes(params).keys()], targets);
