/** Reads pickles without being able to do what a pickle says beyond building values: globals are the caller's list. */
export { readPickle, type Unpickled, type UnpickleOptions } from './unpickle';
export { PickleForeign, type PickleGlobal, type PickleHost, PickleTuple } from './values';
