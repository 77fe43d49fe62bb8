/**
 * Before every test file: gradients, which tfjs-core leaves to its users to register, and a backend that
 * works everywhere. A suite that wants another one calls `tf.setBackend`.
 */
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';

tf.env().set('IS_TEST', true); // no banner
await tf.setBackend('cpu');
