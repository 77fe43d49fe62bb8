/** Reads pickles safely: it builds values, and calls nothing but the globals that the caller allows. */
export { readPickle, type Unpickled, type UnpickleOptions } from './unpickle';
export { PickleForeign, type PickleGlobal, type PickleHost, PickleTuple } from './values';
