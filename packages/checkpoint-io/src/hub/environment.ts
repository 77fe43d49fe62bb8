import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where the hub is, where its cache is, and who asks. What is not given comes from the environment. */
export interface HubOptions {
  /** `HF_ENDPOINT`, or https://huggingface.co. */
  readonly endpoint?: string;
  /** `HF_TOKEN`, or the file that `hf auth login` writes; sent to the endpoint only. */
  readonly token?: string;
  /** `HF_HUB_CACHE`, or `hub` inside `HF_HOME` (~/.cache/huggingface). */
  readonly cacheDir?: string;
  /** `HF_HUB_OFFLINE`: use what is in the cache and never ask the network. */
  readonly offline?: boolean;
}

export interface HubSettings {
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly cacheDir: string;
  readonly offline: boolean;
}

/**
 * The options with the environment filled in, under the variables of Python's huggingface_hub. As there, folders may
 * start with `~` and hold `$VARIABLES`; an empty variable counts as unset.
 */
export async function hubSettings(
  options: HubOptions,
  env: NodeJS.ProcessEnv = process.env,
): Promise<HubSettings> {
  const folder = (name: string) => (env[name] ? expandPath(env[name], env) : undefined);
  const home =
    folder('HF_HOME') ?? join(folder('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  const cacheDir = folder('HF_HUB_CACHE') ?? folder('HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub');
  const storedAt = folder('HF_TOKEN_PATH') ?? join(home, 'token');
  return {
    endpoint: (options.endpoint ?? (env.HF_ENDPOINT || 'https://huggingface.co')).replace(/\/+$/, ''),
    token: options.token ?? (env.HF_TOKEN || (await storedToken(storedAt))),
    cacheDir: options.cacheDir ?? cacheDir,
    offline: options.offline ?? /^(1|true|yes|on)$/i.test(env.HF_HUB_OFFLINE ?? ''),
  };
}

/** Python's os.path.expanduser, then expandvars: `~` at the start, `$NAME` and `${NAME}`; unknown names stay. */
function expandPath(path: string, env: NodeJS.ProcessEnv): string {
  const expanded = path.replace(/^~(?=$|[/\\])/, () => env.HOME || homedir());
  return expanded.replace(
    /\$(\w+|\{[^}]*\})/g,
    (text, name: string) => env[name.replace(/[{}]/g, '')] ?? text,
  );
}

async function storedToken(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trim() || undefined;
}
