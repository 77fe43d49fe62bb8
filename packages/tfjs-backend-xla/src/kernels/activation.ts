import { type Block, hlo, type Value } from '../stablehlo';
import { elu, leakyRelu, relu, relu6 } from './unary';
import { like, matched } from './values';

export interface Fused {
  readonly bias?: Value;
  readonly preluActivationWeights?: Value;
  readonly activation?: string;
  readonly leakyreluAlpha?: number;
}

/** Bias and activation of the fused kernels; XLA fuses them into what made y. */
export function finish(b: Block, y: Value, f: Fused): Value {
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
