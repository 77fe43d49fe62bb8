/** For tests: a server that keeps runs as Weights & Biases does, and fails when told to. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StoredRun {
  id: string;
  project: string;
  displayName: string;
  groupName?: string;
  tags?: string[];
  config: Record<string, { value: unknown }>;
  history: Record<string, unknown>[];
  summary: Record<string, unknown>;
  files: Map<string, Buffer>;
  /** Files whose upload was confirmed. */
  uploaded: string[];
  exitcode?: number;
}

export interface StandIn {
  readonly url: string;
  readonly runs: Map<string, StoredRun>;
  /** Requests to answer with status 503 before going on. */
  failures: number;
  close(): Promise<void>;
}

/** What the operations are asked with. */
interface Variables {
  name: string;
  project: string;
  entity?: string;
  displayName?: string;
  groupName?: string;
  tags?: string[];
  config: string;
  run: string;
  files: string[];
}

const KEY = 'k'.repeat(40);
export const standInKey = KEY;

export async function wandbStandIn(): Promise<StandIn> {
  const runs = new Map<string, StoredRun>();
  const stored = (name: string): StoredRun => {
    const run = runs.get(name);
    if (!run) throw new Error(`no run ${name}`);
    return run;
  };
  const operations: Record<string, (variables: Variables) => unknown> = {
    UpsertBucket: ({ name, project, entity, displayName, groupName, tags, config }) => {
      const run: StoredRun = runs.get(name) ?? {
        id: name,
        project,
        displayName: displayName ?? 'lovely-dawn-1',
        groupName,
        tags,
        config: {},
        history: [],
        summary: {},
        files: new Map(),
        uploaded: [],
      };
      run.config = JSON.parse(config);
      runs.set(name, run);
      const owner = { name: project, entity: { name: entity ?? 'someone' } };
      return {
        upsertBucket: {
          bucket: { id: `storage-${name}`, name, displayName: run.displayName, project: owner },
        },
      };
    },
    RunResumeStatus: ({ name }) => {
      const { history } = stored(name);
      const tail = history.slice(-1).map((row) => JSON.stringify(row));
      return {
        model: { bucket: { historyLineCount: history.length, historyTail: JSON.stringify(tail) } },
      };
    },
    CreateRunFiles: ({ run, files }) => ({
      createRunFiles: {
        runID: `storage-${run}`,
        uploadHeaders: ['x-storage: yes'],
        files: files.map((name) => ({ name, uploadUrl: `/storage/${run}/${name}` })),
      },
    }),
  };

  const standIn: StandIn = {
    url: '',
    runs,
    failures: 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const answer = async (request: IncomingMessage): Promise<[number, unknown]> => {
    const body = await bodyOf(request);
    if (standIn.failures > 0) {
      standIn.failures--;
      return [503, 'busy'];
    }
    if (request.headers.authorization !== `Basic ${Buffer.from(`api:${KEY}`).toString('base64')}`) {
      return [401, 'no such key'];
    }
    const path = decodeURIComponent(new URL(request.url!, 'http://localhost').pathname);
    if (path === '/graphql') {
      const { query, variables } = JSON.parse(body.toString());
      const name = /(?:mutation|query) (\w+)/.exec(query)![1]!;
      if (variables.project === 'forbidden') return [200, { errors: [{ message: 'permission denied' }] }];
      return [200, { data: operations[name]!(variables) }];
    }
    const storage = /^\/storage\/(\w+)\/(.+)$/.exec(path);
    if (storage && request.method === 'PUT' && request.headers['x-storage'] === 'yes') {
      stored(storage[1]!).files.set(storage[2]!, body);
      return [200, ''];
    }
    const stream = /^\/files\/([\w-]+)\/([\w-]+)\/(\w+)\/file_stream$/.exec(path);
    if (stream) {
      const run = stored(stream[3]!);
      const { files = {}, uploaded = [], complete, exitcode } = JSON.parse(body.toString());
      const { 'wandb-history.jsonl': history, 'wandb-summary.json': summary } = files;
      // Lines go where the client says: a gap or an overlap shows in the stored history.
      for (const [i, line] of (history?.content ?? []).entries())
        run.history[history.offset + i] = JSON.parse(line);
      if (summary) run.summary = JSON.parse(summary.content[0]);
      run.uploaded.push(...uploaded);
      if (complete) run.exitcode = exitcode;
      return [200, { exitcode: null, limits: {} }];
    }
    return [404, `nothing at ${path}`];
  };
  const server = createServer(async (request, response) => {
    const [code, body] = await answer(request).catch((error: Error) => [500, error.message] as const);
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(standIn, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
