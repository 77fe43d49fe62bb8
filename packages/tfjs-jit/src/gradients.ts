/**
 * Registers tfjs-core's gradients, with corrections that stay, as a side effect. tfjs-core's own file is written for bundlers
 * and cannot be imported in Node; the published build carries it.
 */
// First: what the next file brings of tfjs-core must not be the copy that makes the tensors.
import '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import { correctGradients } from './correct-gradients';
import { fillInputs } from './fill-inputs';
import { corrections } from './gradient-corrections';

correctGradients(corrections);
fillInputs();
