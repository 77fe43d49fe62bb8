/**
 * Registers tfjs-core's gradients in Node, with corrections, as a side effect. The build carries those of tfjs-jit, so that
 * every package of this repository registers the same ones.
 */
import '@flow-grpo/tfjs-jit/gradients';
