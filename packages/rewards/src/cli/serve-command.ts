import { serveScorer } from '../server/serve';
import { planRewards, type RewardFlags } from './rewards';
import { reported } from './usage-error';

export interface ServeFlags extends RewardFlags {
  port: number;
  host: string;
  maxQueue: number;
  allowHost: string[];
  exitWithParent?: boolean;
}

/** Serves a reward until SIGINT or SIGTERM, after which it finishes pending requests. Prints its address first. */
export async function serveCommand(flags: ServeFlags): Promise<void> {
  const plan = await planRewards(flags);
  const scorer = await plan.make();
  const { port, host: hostname, maxQueue, allowHost: allowedHosts } = flags;
  const server = await reported(() => serveScorer(scorer, { port, hostname, maxQueue, allowedHosts }));
  process.stdout.write(`${server.url}\n`);
  await new Promise<void>((ended) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, ended);
    if (flags.exitWithParent) process.stdin.resume().once('end', ended).once('error', ended);
  });
  await server.close();
  process.stdin.destroy();
}
