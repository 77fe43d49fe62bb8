import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import '../index';
import { tfjsNodeKernels } from './tfjs-node-kernels.testing';

beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

/** Kernels that this backend does not have, with the reason. */
const absent: Readonly<Record<string, string>> = {
  Draw: 'draws to the canvas of a browser',
  FromPixels: 'reads images and canvases of a browser; tfjs-core decodes ImageData by itself',
  LowerBound: 'tf.lowerBound runs SearchSorted',
  MatrixBandPart: 'tf.linalg.bandPart is made of other kernels',
  Pool: 'tf.pool runs the kernel of its kind',
  UpperBound: 'tf.upperBound runs SearchSorted',
};

const registered = (backend: string) => tf.getKernelsForBackend(backend).map(({ kernelName }) => kernelName);
/** tfjs-core exports the name of every kernel as a constant of that name. */
const core = Object.entries(tf).flatMap(([key, value]) => (key === value ? [key] : []));

describe('the kernels of this backend', () => {
  it.each([
    ['tfjs-backend-cpu registers', () => registered('cpu')],
    ['tfjs-node 4.22 registers', () => tfjsNodeKernels],
    ['tfjs-core names', () => core],
  ])('are all that %s, but for those with a reason', (_, names) => {
    const here = new Set(registered('xla'));
    expect(names().length).toBeGreaterThan(150);
    const missing = names().filter((name) => !here.has(name));
    expect(missing.filter((name) => absent[name] === undefined)).toEqual([]);
  });

  it('leave no reason without a kernel', () => {
    const here = new Set(registered('xla'));
    for (const name of Object.keys(absent)) expect([name, here.has(name)]).toEqual([name, false]);
  });
});
