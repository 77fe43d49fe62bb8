import { describe, expect, it } from 'vitest';
import { type Block, bfloat16Bits, float16Bits, hlo, Module, type Value } from './index';

const f32 = (...shape: number[]) => ({ shape, dtype: 'f32' as const });

describe('Module', () => {
  it('prints a function with its attributes', () => {
    const module = new Module('double');
    const { block, args } = module.func('main', [
      { ...f32(2, 3), attributes: { 'tf.aliasing_output': '0 : i32' } },
    ]);
    module.finish('main', [hlo.add(block, args[0]!, args[0]!)]);
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

describe('hlo', () => {
  const start = (...shapes: number[][]) => {
    const { block, args } = new Module().func(
      'main',
      shapes.map((shape) => f32(...shape)),
    );
    return { b: block, args };
  };

  it('makes a scalar once', () => {
    const { b } = start();
    expect(hlo.scalar(b, 1, 'f32')).toBe(hlo.scalar(b, 1, 'f32'));
    expect(hlo.scalar(b, 0, 'f32')).not.toBe(hlo.scalar(b, -0, 'f32'));
  });

  it('names what does not fit', () => {
    const { b, args } = start([2, 3], [3, 2]);
    const [x, y] = args as [(typeof args)[0], (typeof args)[0]];
    expect(() => hlo.add(b, x!, y!)).toThrow(
      'stablehlo.add: operands must agree in shape and type, got f32[2,3] and f32[3,2]',
    );
    expect(() => hlo.reshape(b, x!, [5])).toThrow(/6 elements, \[5\] 5/);
    expect(() => hlo.transpose(b, x!, [0, 0])).toThrow(/does not permute/);
    expect(() => hlo.slice(b, x!, [0, 2], [2, 4])).toThrow(/2:4:1 is outside axis 1/);
    expect(() => hlo.dot(b, x!, x!, { lhsContract: [1], rhsContract: [0] })).toThrow(/do not meet/);
    expect(() => hlo.unary(b, 'sine', hlo.scalar(b, 1, 'i32'))).toThrow(/floating-point/);
  });

  it('infers shapes of products and convolutions', () => {
    const { b, args } = start([4, 2, 3], [4, 3, 5], [1, 8, 8, 3], [3, 3, 3, 7]);
    const [x, y, image, filter] = args;
    const product = hlo.dot(b, x!, y!, { lhsBatch: [0], rhsBatch: [0], lhsContract: [2], rhsContract: [1] });
    expect(product.shape).toEqual([4, 2, 5]);
    const layout = { batch: 0, feature: 3, space: [1, 2] };
    const convolved = hlo.convolution(b, image!, filter!, {
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
    const never = (inner: typeof b) => hlo.scalar(inner, false, 'i1');
    expect(() =>
      hlo.while(b, [args[0]!], never, (inner, [s]) => [hlo.concatenate(inner, [s!, s!], 0)]),
    ).toThrow(/state 0 is f32\[2\] before the body and f32\[4\] after/);
  });
});

describe('flops', () => {
  const count = (write: (b: Block, x: Value) => Value[]): number => {
    const module = new Module();
    const { block, args } = module.func('main', [f32(4)]);
    module.finish('main', write(block, args[0]!));
    return module.flops('main');
  };

  it('count an op once, and not at all where no result depends on it', () => {
    expect(count((b, x) => [hlo.add(b, x, x)])).toBe(4);
    expect(
      count((b, x) => {
        const square = hlo.mul(b, x, x);
        hlo.exp(b, square);
        return [hlo.add(b, square, square)];
      }),
    ).toBe(8);
    expect(count((b, x) => [hlo.convert(b, x, 'i32')])).toBe(0);
  });

  it('count what only the body of a loop reads, and the body by its steps', () => {
    const loop = (b: Block, x: Value, outer: Value): Value[] =>
      hlo.while(
        b,
        [hlo.scalar(b, 0, 'i32'), x],
        (inner, [i]) => hlo.compare(inner, 'LT', i!, hlo.scalar(inner, 3, 'i32')),
        (inner, [i, state]) => [
          hlo.add(inner, i!, hlo.scalar(inner, 1, 'i32')),
          hlo.add(inner, state!, outer),
        ],
        3,
      );
    expect(count((b, x) => [loop(b, x, hlo.exp(b, x))[1]!])).toBe(4 + 3 * 4);
    // The first result of a loop needs the loop.
    expect(count((b, x) => [loop(b, x, hlo.exp(b, x))[0]!])).toBe(4 + 3 * 4);
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
