/** Python pickles of plain data: written byte for byte like CPython's, and read without running anything. */
export { unpickle } from './unpickle';
export { NdArray, PickleError, PyTuple } from './values';
export { type PickleOptions, pickle } from './write';
