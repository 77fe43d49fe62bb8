import { stat } from 'node:fs/promises';
import { checkPathPart } from '../hub/cache-layout';

/** Where files come from: a path on this disk, or a repository of the hub, perhaps one file of it. */
export type Source =
  | { readonly kind: 'file' | 'folder'; readonly path: string }
  | {
      readonly kind: 'hub';
      /** `org/name`, or `name` for the hub's oldest repositories. */
      readonly repo: string;
      /** Branch, tag or commit. */
      readonly revision?: string;
      /** One file of the repository, as a path in it. */
      readonly file?: string;
    };

/** `org/name`, `name`, `org/name@revision`, and `org/name/path/of.file`. */
const HUB = /^([\w-][\w.-]*(?:\/[\w-][\w.-]*)?)(?:@([\w.-]+))?$/;
const FILE_ON_HUB = /^([\w-][\w.-]*\/[\w-][\w.-]*)(?:@([\w.-]+))?\/(.+)$/;
/** A single name that ends like a file is a file that is missing, not a repository without an owner. */
const FILE_NAME = /^[^/]+\.(safetensors|bin|pth?|ckpt|json|jsonl|ya?ml|txt|csv|parquet)$/i;

/**
 * What a text names: a path where one exists, else a hub id, `org/name@revision`, or a file of a repository as
 * `org/name/file`.
 *
 * @throws an Error for a text that is neither an existing path nor a hub id
 */
export async function parseSource(text: string): Promise<Source> {
  const found = await stat(text).catch(() => undefined);
  if (found) return { kind: found.isDirectory() ? 'folder' : 'file', path: text };
  const source = hubSource(text);
  if (source) return source;
  throw new Error(`${text} does not exist, and it is not a hub id like org/name either`);
}

function hubSource(text: string): Source | undefined {
  if (FILE_NAME.test(text) || text.includes('..')) return undefined;
  const whole = HUB.exec(text);
  const [, repo, revision, file] = whole ?? FILE_ON_HUB.exec(text) ?? [];
  if (repo === undefined) return undefined;
  if (file !== undefined) checkPathPart('the file', file);
  return { kind: 'hub', repo, ...(revision && { revision }), ...(file && { file }) };
}
