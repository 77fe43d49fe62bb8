import { homedir } from 'node:os';
import { join } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where installed plugins live: `$XDG_CACHE_HOME/flow-grpo/pjrt`, by default under `~/.cache`. */
export function cacheFolder(environment: Environment = process.env): string {
  return join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'flow-grpo', 'pjrt');
}
