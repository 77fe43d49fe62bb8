const word = new Float32Array(1);
const bits = new Uint32Array(word.buffer);

/** The nearest bfloat16, ties to even. */
function toBfloat16(value: number): number {
  word[0] = value;
  bits[0] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000;
  return word[0];
}

/** The nearest integer, ties to even, as torch.round. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Pixel values in [0, 1] to bytes as flow_grpo's scorers do: `(x * 255).round().clamp(0, 255)` in the
 * tensor's own precision, ties to even. NaN becomes 0.
 *
 * @param precision of the multiplication; bfloat16 tensors arrive widened to float32
 */
export function quantise(
  values: ArrayLike<number>,
  precision: 'float32' | 'bfloat16' = 'float32',
): Uint8ClampedArray<ArrayBuffer> {
  const narrow = precision === 'bfloat16' ? toBfloat16 : Math.fround;
  const bytes = new Uint8ClampedArray(values.length);
  for (let i = 0; i < values.length; i++) bytes[i] = roundHalfEven(narrow(values[i]! * 255));
  return bytes;
}
