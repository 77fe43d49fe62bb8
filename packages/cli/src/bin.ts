#!/usr/bin/env node
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

await main();
