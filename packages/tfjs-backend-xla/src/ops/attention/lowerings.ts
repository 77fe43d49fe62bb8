/** Attention's kernels: fused on CUDA where cuDNN can, decomposed elsewhere. */
import { ATTENTION, ATTENTION_GRAD, ATTENTION_INFERENCE } from '@flow-grpo/tfjs-jit/backend';
import { attrsOf, type Inputs, kernel, type Lowering, need } from '../../kernels/kernel';
import { type Block, hlo, type Value } from '../../stablehlo';
import { type AttentionValues, decomposedBackward, decomposedForward, realQueries } from './decomposed';
import { type FusedAttrs, fusedBackward, fusedForward } from './fused';
import { type BatchSplit, perDevice } from './per-device';

export interface AttentionKernelAttrs extends FusedAttrs {
  readonly fused: boolean;
  /** Set where XLA cannot partition the computation by itself. Not with a mask, whose batch axis may be 1. */
  readonly split?: BatchSplit | undefined;
}

const valuesOf = (inputs: Inputs): AttentionValues => ({
  q: need(inputs, 'q'),
  k: need(inputs, 'k'),
  v: need(inputs, 'v'),
  mask: inputs.mask,
  kvLengths: inputs.kvLengths,
  qLengths: inputs.qLengths,
});

type Pass = (b: Block, values: AttentionValues, inputs: Inputs, options: AttentionKernelAttrs) => Value[];

const pass =
  (run: Pass): Lowering['lower'] =>
  (b, inputs, attrs) => {
    const options = attrsOf<AttentionKernelAttrs>(attrs);
    return perDevice(b, inputs, options.split, (inner, parts) =>
      run(inner, valuesOf(parts as Inputs), parts as Inputs, options),
    );
  };

export const attentionLowerings: readonly Lowering[] = [
  /** → the output, and what the gradient takes as `saved`. */
  kernel(
    ATTENTION,
    pass((b, values, _, options) => {
      if (!options.fused) return decomposedForward(b, values, options);
      const [output, statistics] = fusedForward(b, values, options, true);
      return [realQueries(b, output, values.qLengths), statistics!];
    }),
  ),
  kernel(ATTENTION_INFERENCE, (b, inputs, attrs) => {
    const forward = pass((inner, values, _, options) => [
      options.fused
        ? fusedForward(inner, values, options, false)[0]
        : decomposedForward(inner, values, options)[0],
    ]);
    return (forward(b, inputs, attrs) as Value[])[0]!;
  }),
  kernel(
    ATTENTION_GRAD,
    pass((b, values, inputs, options) => {
      const saved = need(inputs, 'saved');
      const dOutput = need(inputs, 'dy');
      if (!options.fused) return decomposedBackward(b, values, options, { weights: saved, dOutput });
      const output = need(inputs, 'output');
      const narrow = realQueries(b, hlo.convert(b, dOutput, values.q.dtype), values.qLengths);
      return fusedBackward(b, values, options, { statistics: saved, output, dOutput: narrow });
    }),
  ),
];
