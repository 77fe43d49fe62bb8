import { client } from '../runtime/client';
import { type Block, type ElementType, hlo, type Value } from '../stablehlo';
import { elu, leakyRelu, relu, relu6 } from './unary';
import { isNarrow, like, matched, promote } from './values';

export interface Fused {
  readonly bias?: Value;
  readonly preluActivationWeights?: Value;
  readonly activation?: string;
  readonly leakyreluAlpha?: number;
}

/**
 * A fused kernel of x and y: their product, then bias and activation. Of narrow floats all of it is float32 and rounded
 * once; `product` is asked for its result in that type. On CUDA cuBLAS and cuDNN take the bias in before they round,
 * and a float32 result would only cost a kernel of its own.
 */
export function fused(
  b: Block,
  [x, y]: readonly [Value, Value],
  f: Fused,
  product: (result?: ElementType) => Value,
): Value {
  const dtype = promote(x.dtype, y.dtype);
  if (!isNarrow(dtype) || client().platformName === 'cuda') return finish(b, product(), f);
  const rounded = f.bias ? promote(dtype, f.bias.dtype) : dtype;
  return hlo.convert(b, finish(b, product('f32'), f), rounded);
}

/** Bias and activation of the fused kernels; XLA fuses them into what made y. */
function finish(b: Block, y: Value, f: Fused): Value {
  let x = y;
  if (f.bias) {
    const [l, r] = matched(b, x, f.bias);
    x = hlo.add(b, l, r);
  }
  switch (f.activation) {
    case undefined:
    case null:
    case 'linear':
      return x;
    case 'relu':
      return relu(b, x);
    case 'relu6':
      return relu6(b, x);
    case 'elu':
      return elu(b, x);
    case 'sigmoid':
      return hlo.unary(b, 'logistic', x);
    case 'leakyrelu':
      return leakyRelu(b, x, f.leakyreluAlpha ?? 0.2);
    case 'prelu': {
      if (!f.preluActivationWeights) throw new Error('activation prelu needs preluActivationWeights');
      const [value, alpha] = matched(b, x, f.preluActivationWeights);
      return hlo.select(b, hlo.compare(b, 'LT', value, like(b, value, 0)), hlo.mul(b, alpha, value), value);
    }
    default:
      throw new Error(`unknown fused activation "${f.activation}"`);
  }
}
