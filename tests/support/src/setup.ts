/**
 * Before every test file: gradients, which tfjs-core leaves to its users to register, and a backend that
 * works everywhere. A suite that wants another one calls `tf.setBackend`.
 */
import './fresh-process';
// tfjs-core first: the bundle below carries a copy of its engine, and the first one loaded serves both.
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import '@tensorflow/tfjs-backend-cpu';
import fc from 'fast-check';
import { expect } from 'vitest';

// On machines with GPUs too; FLOW_GRPO_XLA_PLATFORM=cuda runs the suites of XLA on these.
process.env.FLOW_GRPO_XLA_PLATFORM ||= 'cpu';
// Test files run side by side: each takes so little of a GPU that all have room.
process.env.FLOW_GRPO_XLA_MEMORY_FRACTION ||= '0.05';
// Compiling takes most of a first run: on CPUs at XLA's quickest, except in `npm run parity` and the suites of XLA in
// `npm run test:long`, where programs are compiled as users compile them. XLA_FLAGS from outside stay as they are; one that is
// XLA's default changes nothing.
const QUICKEST = [
  '--xla_backend_optimization_level=0',
  '--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters',
  // Into 32 modules by default: a seventh of the time of large programs, nothing with small ones.
  '--xla_cpu_parallel_codegen_split_count=1',
  '--xla_llvm_disable_expensive_passes=true',
];
const asUsers =
  process.env.FLOW_GRPO_TESTS === 'long' && !expect.getState().testPath?.endsWith('.long.test.ts');
if (process.env.FLOW_GRPO_XLA_PLATFORM === 'cpu' && !asUsers) process.env.XLA_FLAGS ||= QUICKEST.join(' ');
// The same cases of properties every time; FC_SEED=2 draws others.
fc.configureGlobal({ seed: Number(process.env.FC_SEED || 1) });
tf.env().set('IS_TEST', true); // no banner
await tf.setBackend('cpu');
