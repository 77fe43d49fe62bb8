import { describe, expect, it } from 'vitest';
import { bfloat16Bits, float16Bits, Module } from './index';

const f32 = (...shape: number[]) => ({ shape, dtype: 'f32' as const });

describe('Module', () => {
  it('prints a function with its attributes', () => {
    const module = new Module('double');
    const { builder, args } = module.func('main', [
      { ...f32(2, 3), attributes: { 'tf.aliasing_output': '0 : i32' } },
    ]);
    module.finish('main', [builder.add(args[0]!, args[0]!)]);
    expect(module.toString()).toBe(
      [
        'module @double {',
        '  func.func public @main(%arg0: tensor<2x3xf32> {tf.aliasing_output = 0 : i32}) -> (tensor<2x3xf32>) {',
        '    %0 = stablehlo.add %arg0, %arg0 : tensor<2x3xf32>',
        '    return %0 : tensor<2x3xf32>',
        '  }',
        '}',
        '',
      ].join('\n'),
    );
  });

  it('refuses an unfinished function', () => {
    const module = new Module();
    module.func('main', []);
    expect(() => module.toString()).toThrow(/finish\('main'/);
  });
});

describe('Builder', () => {
  const start = (...shapes: number[][]) => {
    const { builder, args } = new Module().func(
      'main',
      shapes.map((shape) => f32(...shape)),
    );
    return { b: builder, args };
  };

  it('makes a scalar once', () => {
    const { b } = start();
    expect(b.scalar(1, 'f32')).toBe(b.scalar(1, 'f32'));
    expect(b.scalar(0, 'f32')).not.toBe(b.scalar(-0, 'f32'));
  });

  it('names what does not fit', () => {
    const { b, args } = start([2, 3], [3, 2]);
    const [x, y] = args as [(typeof args)[0], (typeof args)[0]];
    expect(() => b.add(x!, y!)).toThrow(
      'stablehlo.add: operands must agree in shape and type, got f32[2,3] and f32[3,2]',
    );
    expect(() => b.reshape(x!, [5])).toThrow(/6 elements, \[5\] 5/);
    expect(() => b.transpose(x!, [0, 0])).toThrow(/does not permute/);
    expect(() => b.slice(x!, [0, 2], [2, 4])).toThrow(/2:4:1 is outside axis 1/);
    expect(() => b.dot(x!, x!, { lhsContract: [1], rhsContract: [0] })).toThrow(/do not meet/);
    expect(() => b.unary('sine', b.scalar(1, 'i32'))).toThrow(/floating-point/);
  });

  it('infers shapes of products and convolutions', () => {
    const { b, args } = start([4, 2, 3], [4, 3, 5], [1, 8, 8, 3], [3, 3, 3, 7]);
    const [x, y, image, filter] = args;
    const product = b.dot(x!, y!, { lhsBatch: [0], rhsBatch: [0], lhsContract: [2], rhsContract: [1] });
    expect(product.shape).toEqual([4, 2, 5]);
    const layout = { batch: 0, feature: 3, space: [1, 2] };
    const convolved = b.convolution(image!, filter!, {
      input: layout,
      output: layout,
      kernel: { space: [0, 1], input: 2, output: 3 },
      strides: [2, 2],
      padding: [
        [0, 1],
        [0, 1],
      ],
    });
    expect(convolved.shape).toEqual([1, 4, 4, 7]);
  });

  it('refuses a loop whose state changes its shape', () => {
    const { b, args } = start([2]);
    const never = (inner: typeof b) => inner.scalar(false, 'i1');
    expect(() => b.while([args[0]!], never, (inner, [s]) => [inner.concatenate([s!, s!], 0)])).toThrow(
      /state 0 is f32\[2\] before the body and f32\[4\] after/,
    );
  });
});

describe('literals', () => {
  it('round to nearest, ties to even', () => {
    expect(bfloat16Bits(1)).toBe(0x3f80);
    expect(bfloat16Bits(1 + 2 ** -8)).toBe(0x3f80);
    expect(bfloat16Bits(1 + 3 * 2 ** -8)).toBe(0x3f82);
    expect(float16Bits(1)).toBe(0x3c00);
    expect(float16Bits(-2)).toBe(0xc000);
    expect(float16Bits(2 ** -24)).toBe(1);
    expect(float16Bits(2 ** -25)).toBe(0);
    expect(float16Bits(65504)).toBe(0x7bff);
    expect(float16Bits(65520)).toBe(0x7c00);
    expect(float16Bits(1 + 2 ** -11)).toBe(0x3c00);
  });
});
