import { type Block, short } from './block';
import { fail } from './errors';
import { denseText, elementText } from './literals';
import { type ElementType, numElements, type Shape, type TensorType, typeText, type Value } from './types';

const dense = (b: Block, text: string, type: TensorType): Value =>
  short(b, 'constant', [], ` dense<${text}> : ${typeText(type)}`, type);

/** A scalar constant, made once a block. */
export function scalar(b: Block, value: number | bigint | boolean, dtype: ElementType): Value {
  const text = elementText(value, dtype);
  const key = `${dtype} ${text}`;
  const known = b.scalars.get(key);
  if (known) return known;
  const made = dense(b, text, { shape: [], dtype });
  b.scalars.set(key, made);
  return made;
}

/** An array with one value everywhere. */
export function full(b: Block, shape: Shape, value: number | bigint | boolean, dtype: ElementType): Value {
  if (shape.length === 0) return scalar(b, value, dtype);
  return dense(b, elementText(value, dtype), { shape: [...shape], dtype });
}

/** An array of given row-major values. Meant for small tables: the text grows with it. */
export function constant(
  b: Block,
  values: ArrayLike<number | bigint | boolean>,
  shape: Shape,
  dtype: ElementType,
): Value {
  if (values.length !== numElements(shape))
    fail('constant', `${values.length} values do not fill the shape [${shape.join(',')}]`);
  return dense(b, values.length === 0 ? '' : denseText(values, shape, dtype), { shape: [...shape], dtype });
}
