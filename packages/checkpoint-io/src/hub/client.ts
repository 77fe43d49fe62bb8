import { checkPathPart, isCommit, type RepoType } from './cache-layout';
import type { HubSettings } from './environment';
import { HubError } from './hub-error';

export interface RepoListing {
  readonly commit: string;
  readonly files: readonly string[];
}

export interface RemoteFile {
  /** sha256 of files in large-file storage, the git blob id of others. */
  readonly etag: string;
  readonly size: number | undefined;
  /** Where the hub gives the file; it may pass the request on to another host, by an address that expires. */
  readonly url: string;
}

const encodePath = (path: string) => path.split('/').map(encodeURIComponent).join('/');

function headers(settings: HubSettings, url: string): Record<string, string> {
  const own = new URL(url).origin === new URL(settings.endpoint).origin;
  const agent = { 'user-agent': 'flow-grpo-checkpoint-io' };
  return own && settings.token ? { ...agent, authorization: `Bearer ${settings.token}` } : agent;
}

/** One request. The token goes to the endpoint only. Throws a {@link HubError} when the host is out of reach. */
export async function request(settings: HubSettings, url: string, init: RequestInit = {}): Promise<Response> {
  try {
    const extra = init.headers as Record<string, string> | undefined;
    return await fetch(url, { ...init, headers: { ...headers(settings, url), ...extra } });
  } catch (cause) {
    if ((cause as Error).name === 'AbortError') throw cause;
    throw new HubError(`${url} cannot be reached: ${(cause as Error).message}`, undefined, { cause });
  }
}

/** Explains a status that is not a success. */
export function refusal(what: string, response: Response): HubError {
  const { status } = response;
  const hint =
    status === 401 || status === 403
      ? ': the repository is private or gated; set HF_TOKEN to a token that may read it'
      : status === 404
        ? ': no such repository, revision or file'
        : '';
  return new HubError(`${what}: the hub answered ${status}${hint}`, status);
}

/** The commit a revision stands for, and its files. */
export async function listRepo(
  settings: HubSettings,
  repo: string,
  type: RepoType,
  revision: string,
  signal?: AbortSignal,
): Promise<RepoListing> {
  const url = `${settings.endpoint}/api/${type}s/${encodePath(repo)}/revision/${encodeURIComponent(revision)}`;
  const response = await request(settings, url, signal ? { signal } : {});
  if (!response.ok) throw refusal(`${repo}@${revision}`, response);
  const body = (await response.json()) as { sha?: unknown; siblings?: { rfilename?: unknown }[] } | null;
  const files = Array.isArray(body?.siblings) ? body.siblings.map(({ rfilename }) => rfilename) : undefined;
  if (
    typeof body?.sha !== 'string' ||
    !isCommit(body.sha) ||
    !files?.every((file) => typeof file === 'string')
  ) {
    throw new HubError(`${url}: the answer is not a description of a repository`);
  }
  for (const file of files as string[]) checkPathPart(`a file of ${repo}`, file);
  return { commit: body.sha, files: files as string[] };
}

/** How often the hub may pass a request on. */
const MAX_REDIRECTS = 5;

/** Size and checksum of a file, and where to ask for it. */
export async function findFile(
  settings: HubSettings,
  repo: string,
  type: RepoType,
  commit: string,
  file: string,
  signal?: AbortSignal,
): Promise<RemoteFile> {
  const root = type === 'model' ? settings.endpoint : `${settings.endpoint}/${type}s`;
  const address = `${root}/${encodePath(repo)}/resolve/${commit}/${encodePath(file)}`;
  let url = address;
  let etag: string | undefined;
  let size: number | undefined;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const init: RequestInit = {
      method: 'HEAD',
      redirect: 'manual',
      headers: { 'accept-encoding': 'identity' },
    };
    const response = await request(settings, url, signal ? { ...init, signal } : init);
    const moved = response.status >= 300 && response.status < 400;
    if (!response.ok && !moved) throw refusal(`${repo}/${file}`, response);
    // Large files: the first answer knows the checksum, the storage behind it has another ETag.
    etag ??=
      response.headers.get('x-linked-etag') ??
      (moved ? undefined : (response.headers.get('etag') ?? undefined));
    const length =
      response.headers.get('x-linked-size') ?? (moved ? null : response.headers.get('content-length'));
    if (size === undefined && length !== null) size = Number(length);
    const location = response.headers.get('location');
    if (moved && location !== null) {
      url = new URL(location, url).href;
      continue;
    }
    const name = etag?.replace(/^W\//, '').replaceAll('"', '');
    if (!name || !/^[\w.-]+$/.test(name)) throw new HubError(`${repo}/${file}: the hub gives no usable ETag`);
    return { etag: name, size, url: address };
  }
  throw new HubError(`${repo}/${file}: redirected more than ${MAX_REDIRECTS} times`);
}
