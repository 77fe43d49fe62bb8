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

/** A description beyond this is none; the largest repositories of the hub have some ten thousand files. */
const MAX_LISTING_BYTES = 64 * 2 ** 20;
const MAX_FILES = 200_000;

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
  const listing = parseListing(await boundedText(url, response));
  if (!listing) throw new HubError(`${url}: the answer is not a description of a repository`);
  if (listing.files.length > MAX_FILES) {
    throw new HubError(`${url}: the repository has ${listing.files.length} files, more than ${MAX_FILES}`);
  }
  for (const file of listing.files) checkPathPart(`a file of ${repo}`, file);
  return { ...listing, files: [...new Set(listing.files)] };
}

function parseListing(text: string): RepoListing | undefined {
  let body: { sha?: unknown; siblings?: unknown } | null;
  try {
    body = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof body?.sha !== 'string' || !isCommit(body.sha) || !Array.isArray(body.siblings)) return undefined;
  const files = body.siblings.map((sibling: { rfilename?: unknown } | null) => sibling?.rfilename);
  return files.every((file) => typeof file === 'string') ? { commit: body.sha, files } : undefined;
}

/** A body as text, unpacked where it was packed; one that does not end is left off. */
async function boundedText(url: string, response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const part of (response.body ?? []) as unknown as AsyncIterable<Uint8Array>) {
      length += part.length;
      if (length > MAX_LISTING_BYTES) {
        throw new HubError(`${url}: the answer has more than ${MAX_LISTING_BYTES} bytes`, response.status);
      }
      parts.push(part);
    }
  } catch (cause) {
    if (cause instanceof HubError || (cause as Error).name === 'AbortError') throw cause;
    throw new HubError(`${url}: the answer broke off: ${(cause as Error).message}`, undefined, { cause });
  }
  return Buffer.concat(parts).toString('utf8');
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
    const location = response.headers.get('location');
    const moved = response.status >= 300 && response.status < 400 && location !== null;
    if (!response.ok && !moved) throw refusal(`${repo}/${file}`, response);
    // Large files: the first answer knows the checksum, the storage behind it has another ETag.
    etag ??=
      response.headers.get('x-linked-etag') ??
      (moved ? undefined : (response.headers.get('etag') ?? undefined));
    size ??= announcedSize(response, moved);
    if (moved) {
      url = resolveUrl(`${repo}/${file}`, location, url);
      continue;
    }
    return { etag: blobName(`${repo}/${file}`, etag), size, url: address };
  }
  throw new HubError(`${repo}/${file}: redirected more than ${MAX_REDIRECTS} times`);
}

/** Bytes of the file, unless the answer does not say or speaks of a packed form of it. */
function announcedSize({ headers }: Response, moved: boolean): number | undefined {
  const packed = (headers.get('content-encoding') ?? 'identity') !== 'identity';
  const text = headers.get('x-linked-size') ?? (moved || packed ? null : headers.get('content-length'));
  const size = text !== null && /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(size) ? size : undefined;
}

function resolveUrl(what: string, location: string, base: string): string {
  if (!URL.canParse(location, base))
    throw new HubError(`${what}: redirected to something that is not an address`);
  const url = new URL(location, base);
  if (!/^https?:$/.test(url.protocol)) throw new HubError(`${what}: redirected to ${url.protocol}`);
  return url.href;
}

/** An ETag is the file's name in the cache: letters and digits, so that it can name nothing else. */
function blobName(what: string, etag: string | undefined): string {
  const name = etag?.replace(/^W\//, '').replaceAll('"', '');
  if (!name || !/^[0-9A-Za-z][0-9A-Za-z_-]{0,127}$/.test(name)) {
    throw new HubError(`${what}: the hub gives no usable ETag`);
  }
  return name;
}
