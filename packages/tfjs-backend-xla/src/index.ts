/** A TensorFlow.js backend on XLA. Importing it registers the backend 'xla', and tfjs-core's gradients. */
import '@flow-grpo/tfjs-jit/gradients';
import { registerXla } from './register';

registerXla();

export { cluster } from './runtime/client';
export { compilationStats } from './runtime/executables';
export { type Execution, observeExecutions } from './runtime/observe';
export { type PluginInfo, pluginInfo } from './runtime/plugin-info';
export { configure, type XlaOptions } from './runtime/settings';
export { startXla } from './start';
export { registerXla };
