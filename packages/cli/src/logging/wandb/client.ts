/** The part of Weights & Biases' protocol that a run needs: GraphQL for the run, a stream for its lines, files. */
import pRetry, { AbortError } from 'p-retry';
import type { WandbAccess } from './credentials';

/** A run as the server knows it. */
export interface WandbRun {
  /** The server's own name of it. */
  readonly storageId: string;
  readonly id: string;
  readonly displayName: string;
  readonly entity: string;
  readonly project: string;
}

export interface WandbOptions {
  readonly project: string;
  readonly entity?: string | undefined;
  readonly name?: string | undefined;
  readonly group?: string | undefined;
  readonly tags?: readonly string[];
  /** Shown as the run's configuration. */
  readonly config: Readonly<Record<string, unknown>>;
}

export interface NewRun extends WandbOptions {
  readonly id: string;
}

/** Lines to put at an offset of a run's files, and how the run stands. */
export interface StreamRequest {
  readonly files?: Readonly<Record<string, { readonly offset: number; readonly content: readonly string[] }>>;
  readonly uploaded?: readonly string[];
  readonly complete?: boolean;
  readonly exitcode?: number;
}

/** How much of a run the server has. */
export interface RunProgress {
  readonly lines: number;
  /** The `_step` of the last line; −1 without one. */
  readonly lastStep: number;
}

export interface WandbClient {
  upsertRun(run: NewRun): Promise<WandbRun>;
  progressOf(run: WandbRun): Promise<RunProgress>;
  stream(run: WandbRun, request: StreamRequest): Promise<void>;
  /** @param path within the run, e.g. media/images/x.png */
  upload(run: WandbRun, path: string, bytes: Uint8Array): Promise<void>;
}

/** The server's answer to something it will not do, however often it is asked. */
export class WandbError extends Error {
  override readonly name = 'WandbError';
}

export interface WandbClientOptions {
  /** Attempts after the first one, with growing pauses. Default 5. */
  readonly retries?: number;
  /** The first pause, milliseconds. Default 500. */
  readonly pause?: number;
  /** For each attempt, milliseconds. Default 30,000. */
  readonly timeout?: number;
}

const UPSERT_RUN = `
  mutation UpsertBucket(
    $name: String, $project: String, $entity: String, $groupName: String, $displayName: String,
    $config: JSONString, $tags: [String!]
  ) {
    upsertBucket(input: {
      name: $name, modelName: $project, entityName: $entity, groupName: $groupName,
      displayName: $displayName, config: $config, tags: $tags
    }) {
      bucket { id name displayName project { name entity { name } } }
    }
  }`;

const RUN_PROGRESS = `
  query RunResumeStatus($project: String, $entity: String, $name: String!) {
    model(name: $project, entityName: $entity) {
      bucket(name: $name, missingOk: true) { historyLineCount historyTail }
    }
  }`;

const CREATE_FILES = `
  mutation CreateRunFiles($entity: String!, $project: String!, $run: String!, $files: [String!]!) {
    createRunFiles(input: { entityName: $entity, projectName: $project, runName: $run, files: $files }) {
      runID
      uploadHeaders
      files { name uploadUrl }
    }
  }`;

/** Whether a server described a run as far as it is used here. */
const isBucket = (bucket: Bucket | null | undefined): bucket is Bucket =>
  [bucket?.id, bucket?.name, bucket?.project?.name, bucket?.project?.entity?.name].every(
    (text) => typeof text === 'string',
  );

/** A client whose requests are tried again when the network, or the server for the moment, fails. */
export function wandbClient(access: WandbAccess, options: WandbClientOptions = {}): WandbClient {
  const { baseUrl, apiKey } = access;
  const { retries = 5, pause = 500, timeout = 30_000 } = options;
  const authorization = `Basic ${Buffer.from(`api:${apiKey}`).toString('base64')}`;

  const request = (what: string, url: string, init: RequestInit): Promise<Response> =>
    pRetry(
      async () => {
        let response: Response;
        try {
          response = await fetch(url, { ...init, signal: AbortSignal.timeout(timeout) });
        } catch (cause) {
          throw new Error(`wandb: ${new URL(url).host} cannot be reached for ${what}`, { cause });
        }
        if (response.ok) return response;
        const hint = response.status === 401 || response.status === 403 ? '; is WANDB_API_KEY right?' : '';
        const message = `wandb: ${what} was answered with status ${response.status}${hint}`;
        const temporary = response.status >= 500 || response.status === 429 || response.status === 408;
        throw temporary ? new Error(message) : new AbortError(new WandbError(message));
      },
      { retries, minTimeout: pause, maxTimeout: 30_000, randomize: true },
    );
  const post = (what: string, path: string, body: unknown) =>
    request(what, `${baseUrl}${path}`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const graphql = async <T>(what: string, query: string, variables: object): Promise<T> => {
    const response = await post(what, '/graphql', { query, variables });
    const answer = (await response.json().catch(() => undefined)) as { data?: T; errors?: unknown } | null;
    const { data, errors } = answer ?? {};
    const isWrong = Array.isArray(errors) ? errors.length > 0 : errors !== undefined && errors !== null;
    if (isWrong || typeof data !== 'object' || data === null) {
      const messages = (Array.isArray(errors) ? errors : []).flatMap((error: { message?: unknown } | null) =>
        typeof error?.message === 'string' ? [error.message.slice(0, 500)] : [],
      );
      throw new WandbError(`wandb: ${what}: ${messages.join('; ') || 'no answer that can be read'}`);
    }
    return data;
  };

  return {
    async upsertRun({ id, project, entity, name, group, tags, config }) {
      const { upsertBucket } = await graphql<{ upsertBucket: { bucket: Bucket } | null }>(
        'creating the run',
        UPSERT_RUN,
        {
          name: id,
          project,
          entity,
          groupName: group,
          displayName: name,
          tags,
          config: JSON.stringify(
            Object.fromEntries(Object.entries(config).map(([key, value]) => [key, { value, desc: null }])),
          ),
        },
      );
      if (!upsertBucket) throw new WandbError(`wandb: the run was not created in project ${project}`);
      const { bucket } = upsertBucket;
      if (!isBucket(bucket)) throw new WandbError('wandb: creating the run: no answer that can be read');
      return {
        storageId: bucket.id,
        id: bucket.name,
        displayName: bucket.displayName ?? bucket.name,
        entity: bucket.project.entity.name,
        project: bucket.project.name,
      };
    },
    async progressOf({ id, project, entity }) {
      const { model } = await graphql<{ model: { bucket: Tail | null } | null }>(
        'asking for the run',
        RUN_PROGRESS,
        { name: id, project, entity },
      );
      const tail = model?.bucket;
      const rows = JSON.parse(tail?.historyTail ?? '[]') as string[];
      const last = rows.at(-1);
      const step = last === undefined ? undefined : (JSON.parse(last) as { _step?: number })._step;
      return { lines: tail?.historyLineCount ?? 0, lastStep: step ?? -1 };
    },
    async stream({ id, project, entity }, body) {
      await post(
        'logging',
        `/files/${[entity, project, id].map(encodeURIComponent).join('/')}/file_stream`,
        body,
      );
    },
    async upload({ id, project, entity }, path, bytes) {
      const { createRunFiles } = await graphql<{ createRunFiles: NewFiles }>('adding a file', CREATE_FILES, {
        entity,
        project,
        run: id,
        files: [path],
      });
      const file = createRunFiles.files[0];
      if (!file?.uploadUrl) throw new WandbError(`wandb: no address to upload ${path} to`);
      const headers = (createRunFiles.uploadHeaders ?? []).map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon), line.slice(colon + 1).trim()] as [string, string];
      });
      // Servers of your own take files themselves; the public one hands out signed addresses of its storage.
      const own = file.uploadUrl.startsWith('/');
      await request(`uploading ${path}`, own ? `${baseUrl}${file.uploadUrl}` : file.uploadUrl, {
        method: 'PUT',
        headers: [...headers, ...(own ? [['authorization', authorization] as [string, string]] : [])],
        body: bytes as BodyInit,
      });
    },
  };
}

interface Bucket {
  readonly id: string;
  readonly name: string;
  readonly displayName: string | null;
  readonly project: { readonly name: string; readonly entity: { readonly name: string } };
}

interface Tail {
  readonly historyLineCount: number | null;
  readonly historyTail: string | null;
}

interface NewFiles {
  readonly uploadHeaders: readonly string[] | null;
  readonly files: readonly { readonly name: string; readonly uploadUrl: string | null }[];
}
