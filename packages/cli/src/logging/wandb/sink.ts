/** A run on Weights & Biases: a row an epoch, histograms, sample grids; training never waits for it. */
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EpochDetails, EpochMetrics } from '@flow-grpo/grpo-trainer';
import { edgesOf, type Histogram, histogramOf } from '../histogram';
import { type EvaluationRecord, type HistogramRecord, readLines } from '../run-log';
import type { WandbClient, WandbRun } from './client';
import { appUrl } from './credentials';

export interface WandbOptions {
  readonly project: string;
  readonly entity?: string | undefined;
  readonly name?: string | undefined;
  readonly group?: string | undefined;
  readonly tags?: readonly string[];
  /** Shown as the run's configuration. */
  readonly config: Readonly<Record<string, unknown>>;
}

export interface WandbLog {
  /** Where the run can be seen. */
  readonly url: string;
  onEpoch(metrics: EpochMetrics, details: EpochDetails): void;
  /** @param record of the folder's log, whose grid is uploaded. */
  onEvaluation(record: EvaluationRecord): void;
  /** Sends what is left and ends the run there; resolves when all is sent or given up. */
  close(exitCode: number): Promise<void>;
}

/** In the run's folder: which run of the server it is. */
const ID_FILE = 'wandb.json';
/** The server takes a run for crashed that is silent for minutes. */
const HEARTBEAT_MS = 30_000;
const HISTORY = 'wandb-history.jsonl';
const SUMMARY = 'wandb-summary.json';

type Row = Record<string, unknown>;

/**
 * Opens the run of a folder on the server; with `resume` it is the one that an earlier part of the run made. Rows that
 * the server has are not sent again (a resumed run computes the same ones), and those of the folder's metrics.jsonl that
 * it lacks are. What cannot be sent is kept and sent with the next rows; `onMessage` is told when the server goes out of
 * reach and when it is back.
 *
 * @throws when the run cannot be created at all: no such project, a wrong key, no network.
 */
export async function wandbLog(
  client: WandbClient,
  folder: string,
  baseUrl: string,
  options: WandbOptions & { readonly resume: boolean; readonly onMessage?: (message: string) => void },
): Promise<WandbLog> {
  const { resume, onMessage, ...asked } = options;
  const known = resume ? await readId(folder) : undefined;
  const run = await client.upsertRun({ ...asked, id: known ?? newId() });
  await writeFile(join(folder, ID_FILE), `${JSON.stringify({ ...run, baseUrl }, null, 2)}\n`);
  const { lines, lastStep } = known ? await client.progressOf(run) : { lines: 0, lastStep: -1 };
  const url = `${appUrl(baseUrl)}/${[run.entity, run.project].map(encodeURIComponent).join('/')}/runs/${run.id}`;
  const rows = rowSender(client, run, lines, onMessage);
  const started = Date.now();
  let pending: Row = {};
  let lastEpoch = lastStep;

  const stamped = (step: number): Row => {
    const now = Date.now();
    return { _step: step, _timestamp: now / 1000, _runtime: (now - started) / 1000 };
  };
  // What the folder knows and the server does not: rows that waited when the run was killed, or all of them when an
  // earlier part of the run was not logged there.
  for (const row of await earlierRows(folder, lastStep)) {
    lastEpoch = row.epoch as number;
    rows.add({ ...stamped(lastEpoch), ...row });
  }
  let work = rows.send();
  const upload = async (file: string, path: string, bytes: Buffer) => {
    try {
      await client.upload(run, path, bytes);
      rows.uploaded(path);
    } catch (error) {
      onMessage?.(`${file} was not uploaded: ${(error as Error).message}`);
    }
  };
  const has = lastEpoch; // rows up to here are there, or on their way
  return {
    url,
    onEpoch(metrics, { advantages, rewards }) {
      const { epoch } = metrics;
      const evaluated = pending;
      pending = {};
      lastEpoch = epoch;
      if (epoch <= has) return;
      const row = { ...stamped(epoch), ...metrics };
      const histograms = {
        advantages: histogramRow(histogramOf(advantages)),
        rewards: histogramRow(histogramOf(rewards)),
      };
      // Behind the upload of the evaluation's grid, which `evaluated` then names.
      work = work.then(() => {
        rows.add({ ...row, ...evaluated, ...histograms });
        return rows.send();
      });
    },
    onEvaluation(record) {
      const { epoch, reward, details, grid } = record;
      // A row is one step: the evaluation before epoch n goes with the numbers of epoch n.
      pending = { 'evaluation/reward': reward };
      for (const [name, value] of Object.entries(details)) pending[`evaluation/${name}`] = value;
      if (grid === undefined || epoch <= has) return;
      const row = pending;
      work = work.then(async () => {
        const bytes = await readFile(join(folder, grid)).catch(() => undefined);
        if (!bytes) return;
        const sha256 = createHash('sha256').update(bytes).digest('hex');
        const path = `media/images/samples_${epoch}_${sha256.slice(0, 20)}.png`;
        const size = { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
        row['evaluation/samples'] = {
          _type: 'image-file',
          path,
          sha256,
          size: bytes.length,
          format: 'png',
          ...size,
        };
        await upload(grid, path, bytes);
      });
    },
    async close(exitCode) {
      await work;
      if (Object.keys(pending).length > 0) rows.add({ ...stamped(lastEpoch + 1), ...pending });
      await rows.end(exitCode);
    },
  };
}

/** Keeps rows until the server has them, in order, each at its place. */
function rowSender(
  client: WandbClient,
  run: WandbRun,
  linesThere: number,
  onMessage: ((message: string) => void) | undefined,
) {
  let offset = linesThere;
  const waiting: Row[] = [];
  const files: string[] = [];
  const summary: Row = {};
  let failing = false;
  let sending: Promise<void> = Promise.resolve();

  const post = async (end?: { exitcode: number }) => {
    const taken = [...waiting];
    const uploaded = [...files];
    for (const row of taken) Object.assign(summary, row);
    const text = (value: unknown) => JSON.stringify(value, finite);
    await client.stream(run, {
      ...(taken.length > 0 && {
        files: {
          [HISTORY]: { offset, content: taken.map(text) },
          [SUMMARY]: { offset: 0, content: [text(summary)] },
        },
      }),
      ...(uploaded.length > 0 && { uploaded }),
      ...(end && { complete: true, ...end }),
    });
    // Only now: rows of a request that failed go to the same offset again, so none is lost and none is twice.
    offset += taken.length;
    waiting.splice(0, taken.length);
    files.splice(0, uploaded.length);
    if (failing) onMessage?.('wandb: reached again; nothing was lost');
    failing = false;
  };
  const send = (end?: { exitcode: number }) => {
    sending = sending
      .then(() => post(end))
      .catch((error: Error) => {
        if (!failing || end)
          onMessage?.(`${error.message}; ${waiting.length} rows wait (they are in metrics.jsonl too)`);
        failing = true;
      });
    return sending;
  };
  const heartbeat = setInterval(() => void send(), HEARTBEAT_MS).unref();
  return {
    add: (row: Row) => void waiting.push(row),
    uploaded: (path: string) => void files.push(path),
    send: () => send(),
    async end(exitcode: number) {
      clearInterval(heartbeat);
      await send({ exitcode });
    },
  };
}

async function earlierRows(folder: string, lastStep: number): Promise<Row[]> {
  const metrics = await readLines<EpochMetrics>(join(folder, 'metrics.jsonl'));
  const histograms = await readLines<HistogramRecord>(join(folder, 'histograms.jsonl'));
  return metrics
    .filter(({ epoch }) => epoch > lastStep)
    .map((row) => {
      const of = histograms.find(({ epoch }) => epoch === row.epoch);
      return { ...row, advantages: histogramRow(of?.advantages), rewards: histogramRow(of?.rewards) };
    });
}

function histogramRow(histogram: Histogram | undefined) {
  return histogram && { _type: 'histogram', values: histogram.counts, bins: edgesOf(histogram) };
}

/** JSON has no such numbers; the server reads these words. */
function finite(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

async function readId(folder: string): Promise<string | undefined> {
  const text = await readFile(join(folder, ID_FILE), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as { id: string }).id;
}

/** Eight letters and digits, as wandb's own. */
function newId(): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from(randomBytes(8), (byte) => alphabet[byte % alphabet.length]).join('');
}
