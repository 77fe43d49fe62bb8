#!/usr/bin/env node
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { reportFailure } from './commands/failure';
import { main } from './commands/main';

/** Whoever reads may have had enough: `flow-grpo schema | head`. */
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (stream === process.stdout) process.exit();
  });
}
process.on('uncaughtException', (error) => {
  reportFailure(error);
  process.exit();
});

/** Node ends without a word when nothing is left to wait for, whatever still awaits a promise. */
const stuck = () => {
  const message = 'The command is waiting for a promise that never settles, probably one in your own module.';
  reportFailure(new ConfigError(message));
  process.exit();
};
process.once('beforeExit', stuck);
await main();
process.off('beforeExit', stuck);
