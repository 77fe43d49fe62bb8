import type { Builder, Value } from '../stablehlo';
import { kernel, type Lowering, need } from './kernel';
import { castTo, like } from './values';

const transform = (b: Builder, x: Value, type: 'FFT' | 'IFFT'): Value =>
  b.fft(castTo(b, x, 'c64'), type, [x.shape.at(-1)!]);

/** Kernels of complex numbers and Fourier transforms. */
export const complexKernels: Lowering[] = [
  kernel('Complex', (b, inputs) => b.complex(need(inputs, 'real'), need(inputs, 'imag'))),
  kernel('Real', (b, inputs) => {
    const x = need(inputs, 'input');
    return x.dtype === 'c64' ? b.real(x) : x;
  }),
  kernel('Imag', (b, inputs) => {
    const x = need(inputs, 'input');
    return x.dtype === 'c64' ? b.imag(x) : like(b, x, 0);
  }),
  kernel('ComplexAbs', (b, inputs) => b.unary('abs', need(inputs, 'x'))),
  kernel('FFT', (b, inputs) => transform(b, need(inputs, 'input'), 'FFT')),
  kernel('IFFT', (b, inputs) => transform(b, need(inputs, 'input'), 'IFFT')),
];
