#!/usr/bin/env node
import { main } from './commands/main';

await main();
