/**
 * What a program's digest depends on. The programs that the quickstart and the recipe give to XLA are compared with those on
 * record where these examples are run: `main.test.ts` of the one, `process.test.ts` of the other.
 */
import { programDigest } from '@flow-grpo/test-support/programs';
import { describe, expect, it } from 'vitest';

describe('a digest', () => {
  const text = (name: string, x: string, size: number) => `module @${name} {
    sdy.mesh @${name}_mesh = <["data"=4]>
    func.func public @main(%arg0: tensor<${size}xf32> {sdy.sharding = #sdy.sharding<@${name}_mesh, [{"data"}]>}) {
      %${x}:2 = func.call @${name}_half(%arg0) : (tensor<${size}xf32>) -> (tensor<f32>, tensor<f32>)
      return %${x}#1
    }
  }`;
  it('is the same under other names', () => {
    expect(programDigest(text('step', '0', 4))).toBe(programDigest(text('update', 'sum', 4)));
  });
  it('is another one for another shape, operand, operation, custom call or axis', () => {
    const base = text('step', '0', 4);
    const others = [
      text('step', '0', 8),
      base.replace('return %0#1', 'return %arg0'),
      base.replace('%0#1', '%0#0'),
      base.replace('@step_half(', '@main('),
      base.replaceAll('"data"', '"model"'),
    ];
    const digests = [base, ...others].map(programDigest);
    expect(new Set(digests).size).toBe(digests.length);
  });
  it('has nothing of locations', () => {
    const located = text('step', '0', 4).replace('return %0#1', 'return %0#1 loc("step.ts":3:4)');
    expect(programDigest(located)).toBe(programDigest(text('step', '0', 4)));
  });
});
