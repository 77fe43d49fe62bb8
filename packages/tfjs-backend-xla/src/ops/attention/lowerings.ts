/** Attention's two kernels: fused on CUDA where cuDNN can, decomposed elsewhere. */
import { attrsOf, type Inputs, kernel, type Lowering, need } from '../../kernels/kernel';
import {
  type AttentionAttrs,
  type AttentionValues,
  decomposedBackward,
  decomposedForward,
  realQueries,
} from './decomposed';
import { fusedBackward, fusedForward } from './fused';

export interface AttentionKernelAttrs extends AttentionAttrs {
  readonly fused: boolean;
}

const valuesOf = (inputs: Inputs): AttentionValues => ({
  q: need(inputs, 'q'),
  k: need(inputs, 'k'),
  v: need(inputs, 'v'),
  mask: inputs.mask,
  kvLengths: inputs.kvLengths,
  qLengths: inputs.qLengths,
});

export const attentionLowerings: readonly Lowering[] = [
  /** → the output, and what XlaAttentionGrad takes as `saved`. */
  kernel('XlaAttention', (b, inputs, attrs) => {
    const options = attrsOf<AttentionKernelAttrs>(attrs);
    const values = valuesOf(inputs);
    if (!options.fused) return decomposedForward(b, values, options);
    const [output, statistics] = fusedForward(b, values, options, true);
    return [realQueries(b, output, values.qLengths), statistics!];
  }),
  kernel('XlaAttentionInference', (b, inputs, attrs) => {
    const options = attrsOf<AttentionKernelAttrs>(attrs);
    const values = valuesOf(inputs);
    return options.fused
      ? fusedForward(b, values, options, false)[0]
      : decomposedForward(b, values, options)[0];
  }),
  kernel('XlaAttentionGrad', (b, inputs, attrs) => {
    const options = attrsOf<AttentionKernelAttrs>(attrs);
    const values = valuesOf(inputs);
    const saved = need(inputs, 'saved');
    const dOutput = need(inputs, 'dy');
    if (!options.fused) return decomposedBackward(b, values, options, { weights: saved, dOutput });
    const output = need(inputs, 'output');
    const narrow = realQueries(b, b.convert(dOutput, values.q.dtype), values.qLengths);
    return fusedBackward(b, values, options, { statistics: saved, output, dOutput: narrow });
  }),
];
