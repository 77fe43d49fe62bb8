import { type Block, hlo, type Value } from '../stablehlo';
import { kernel, type Lowering, need } from './kernel';
import { castTo, like } from './values';

const transform = (b: Block, x: Value, type: 'FFT' | 'IFFT'): Value =>
  hlo.fft(b, castTo(b, x, 'c64'), type, [x.shape.at(-1)!]);

/** Kernels of complex numbers and Fourier transforms. */
export const complexKernels: Lowering[] = [
  kernel('Complex', (b, inputs) => hlo.complex(b, need(inputs, 'real'), need(inputs, 'imag'))),
  kernel('Real', (b, inputs) => {
    const x = need(inputs, 'input');
    return x.dtype === 'c64' ? hlo.real(b, x) : x;
  }),
  kernel('Imag', (b, inputs) => {
    const x = need(inputs, 'input');
    return x.dtype === 'c64' ? hlo.imag(b, x) : like(b, x, 0);
  }),
  kernel('ComplexAbs', (b, inputs) => hlo.unary(b, 'abs', need(inputs, 'x'))),
  kernel('FFT', (b, inputs) => transform(b, need(inputs, 'input'), 'FFT')),
  kernel('IFFT', (b, inputs) => transform(b, need(inputs, 'input'), 'IFFT')),
];
