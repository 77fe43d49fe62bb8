#!/usr/bin/env node
import { main } from './main';

/** Whoever reads may have had enough: `flow-grpo-score --help | head`. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});
await main();
