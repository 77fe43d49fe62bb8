/**
 * Before every test file: gradients, which tfjs-core leaves to its users to register, and a backend that
 * works everywhere. A suite that wants another one calls `tf.setBackend`.
 */
// tfjs-core first: the bundle below carries a copy of its engine, and the first one loaded serves both.
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import '@tensorflow/tfjs-backend-cpu';
import fc from 'fast-check';

// On machines with GPUs too; FLOW_GRPO_XLA_PLATFORM=cuda runs the suites of XLA on these.
process.env.FLOW_GRPO_XLA_PLATFORM ||= 'cpu';
// The same cases of properties every time; FC_SEED=2 draws others.
fc.configureGlobal({ seed: Number(process.env.FC_SEED || 1) });
tf.env().set('IS_TEST', true); // no banner
await tf.setBackend('cpu');
