import { backend_util } from '@tensorflow/tfjs-core';
import { type Block, hlo, type Value } from '../stablehlo';
import { attrsOf, kernel, type Lowering, need } from './kernel';
import { beats, like } from './values';
import { around, atOffset, offsets, padForWindows, type Window } from './window';

interface DilationAttrs {
  strides: number | [number, number];
  pad: 'valid' | 'same' | number;
  dilations: number | [number, number];
}

/** Morphological dilation's window, and for each of its places the index of the offset that wins. */
function dilation(b: Block, x: Value, filter: Value, a: DilationAttrs) {
  const i = backend_util.computeDilation2DInfo(
    x.shape as [number, number, number, number],
    filter.shape as [number, number, number],
    a.strides,
    a.pad as 'same',
    'NHWC',
    a.dilations,
  );
  const size = [i.filterHeight, i.filterWidth];
  const strides = [i.strideHeight, i.strideWidth];
  const dilations = [i.dilationHeight, i.dilationWidth];
  const outSize = [i.outHeight, i.outWidth];
  const inSize = [i.inHeight, i.inWidth];
  const padding = [i.padInfo.top, i.padInfo.left].map((low, k): [number, number] => [
    low,
    (outSize[k]! - 1) * strides[k]! + (size[k]! - 1) * dilations[k]! + 1 - low - inSize[k]!,
  ]);
  const w: Window = { inSize, outSize, size, strides, dilations, padding };
  const padded = padForWindows(b, x, w, Number.NEGATIVE_INFINITY);
  const all = offsets(size);
  let best: Value | undefined;
  let winner: Value | undefined;
  all.forEach((offset, index) => {
    const cell = atOffset(b, padded, w, offset);
    const weight = hlo.reshape(
      b,
      hlo.slice(b, filter, [...offset, 0], [...offset.map((o) => o + 1), filter.shape[2]!]),
      [filter.shape[2]!],
    );
    const value = hlo.add(b, cell, hlo.broadcastTo(b, weight, cell.shape));
    if (!best || !winner) {
      best = value;
      winner = hlo.full(b, cell.shape, 0, 'i32');
      return;
    }
    const better = beats(b, value, best, 'GT');
    best = hlo.select(b, better, value, best);
    winner = hlo.select(b, better, hlo.full(b, cell.shape, index, 'i32'), winner);
  });
  const share = (dy: Value, index: number) =>
    hlo.select(b, hlo.compare(b, 'EQ', winner!, like(b, winner!, index)), dy, like(b, dy, 0));
  return { w, best: best!, all, share };
}

function dilationInputGrad(b: Block, x: Value, filter: Value, dy: Value, a: DilationAttrs): Value {
  const { w, all, share } = dilation(b, x, filter, a);
  const total = w.inSize.map((d, i) => d + w.padding[i]![0] + w.padding[i]![1]);
  const zero = hlo.scalar(b, 0, dy.dtype);
  const sum = all
    .map((offset, index) => {
      const low = offset.map((o, i) => o * w.dilations[i]!);
      const high = total.map((d, i) => d - low[i]! - ((w.outSize[i]! - 1) * w.strides[i]! + 1));
      return hlo.pad(
        b,
        share(dy, index),
        zero,
        around(low, 0),
        around(high, 0),
        around(
          w.strides.map((s) => s - 1),
          0,
        ),
      );
    })
    .reduce((p, q) => hlo.add(b, p, q));
  return hlo.pad(
    b,
    sum,
    zero,
    around(
      w.padding.map((p) => -p[0]),
      0,
    ),
    around(
      w.padding.map((p) => -p[1]),
      0,
    ),
  );
}

function dilationFilterGrad(b: Block, x: Value, filter: Value, dy: Value, a: DilationAttrs): Value {
  const { all, share } = dilation(b, x, filter, a);
  const rows = all.map((_, index) =>
    hlo.reshape(b, hlo.reduce(b, share(dy, index), 'add', [0, 1, 2]), [1, filter.shape[2]!]),
  );
  return hlo.reshape(b, hlo.concatenate(b, rows, 0), filter.shape);
}

/** Grey-scale dilation and its gradients. */
export const dilationKernels: Lowering[] = [
  kernel(
    'Dilation2D',
    (b, inputs, attrs) => dilation(b, need(inputs, 'x'), need(inputs, 'filter'), attrsOf(attrs)).best,
  ),
  kernel('Dilation2DBackpropInput', (b, inputs, attrs) =>
    dilationInputGrad(b, need(inputs, 'x'), need(inputs, 'filter'), need(inputs, 'dy'), attrsOf(attrs)),
  ),
  kernel('Dilation2DBackpropFilter', (b, inputs, attrs) =>
    dilationFilterGrad(b, need(inputs, 'x'), need(inputs, 'filter'), need(inputs, 'dy'), attrsOf(attrs)),
  ),
];
