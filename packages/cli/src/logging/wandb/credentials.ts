/** Where Weights & Biases is, and the key to it. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@flow-grpo/grpo-trainer';

export interface WandbAccess {
  /** Without a slash at the end. */
  readonly baseUrl: string;
  readonly apiKey: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The server and key of wandb's own tools: WANDB_BASE_URL and WANDB_API_KEY, else the netrc file that `wandb login`
 * writes.
 *
 * @throws {ConfigError} when there is no key.
 */
export async function findWandb(
  baseUrl: string | undefined,
  environment: Environment = process.env,
): Promise<WandbAccess> {
  const base = (baseUrl ?? environment.WANDB_BASE_URL ?? 'https://api.wandb.ai').replace(/\/+$/, '');
  const { hostname } = new URL(base);
  const apiKey = environment.WANDB_API_KEY ?? (await keyOfNetrc(hostname, environment));
  if (!apiKey) {
    throw new ConfigError(
      `wandb: no key for ${hostname}; set WANDB_API_KEY, or run wandb login (it is shown at ${appUrl(base)}/authorize)`,
    );
  }
  return { baseUrl: base, apiKey };
}

/** Where people look at runs; the public service has another host for that. */
export function appUrl(baseUrl: string): string {
  return baseUrl.replace('://api.wandb.ai', '://wandb.ai');
}

async function keyOfNetrc(host: string, environment: Environment): Promise<string | undefined> {
  const file = environment.NETRC ?? join(environment.HOME ?? homedir(), '.netrc');
  const text = await readFile(file, 'utf8').catch(() => '');
  const words = text.split(/\s+/);
  for (let i = 0; i < words.length; i++) {
    if (words[i] !== 'machine' || words[i + 1] !== host) continue;
    for (let j = i + 2; j < words.length && words[j] !== 'machine'; j += 2) {
      if (words[j] === 'password') return words[j + 1];
    }
  }
  return undefined;
}
