/** A run on Weights & Biases: one row per epoch, histograms, sample grids; training never waits for it. */
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@flow-grpo/checkpoint-io';
import type { EpochDetails, EpochMetrics } from '@flow-grpo/grpo-trainer';
import { edgesOf, type Histogram, histogramOf } from '../histogram';
import { readJsonLines } from '../json-lines';
import type { EvaluationRecord, HistogramRecord } from '../run-log';
import type { WandbClient, WandbOptions, WandbRun } from './client';
import { appUrl } from './credentials';
import { type StepShift, shifted, stepOf } from './steps';

export interface WandbLog {
  /** Where the run can be seen. */
  readonly url: string;
  onEpoch(metrics: EpochMetrics, details: EpochDetails): void;
  /** @param record of the folder's log, whose grid is uploaded. */
  onEvaluation(record: EvaluationRecord): void;
  /** Sends what is left and ends the run there; resolves when all is sent or given up. */
  close(exitCode: number): Promise<void>;
}

/** In the run's folder: which run of the server it is, and where its steps are not its epochs. */
const ID_FILE = 'wandb.json';
/** The server takes a run for crashed that is silent for minutes. */
const HEARTBEAT_MS = 30_000;
const HISTORY = 'wandb-history.jsonl';
const SUMMARY = 'wandb-summary.json';

type Row = Record<string, unknown>;

/**
 * Opens the run of a folder on the server; with `resume` it is the one that an earlier part of the run made. Rows that
 * the server has are not sent again (a resumed run computes the same ones), and those of the folder's metrics.jsonl that
 * it lacks are. A row's step is its epoch, until the run is rolled back: then steps go on growing, since the server drops
 * those that do not, and `epoch` alone goes back. What cannot be sent is kept and sent with the next rows; `onMessage` is
 * told when the server goes out of reach and when it is back.
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
  const run = await client.upsertRun({ ...asked, id: known?.id ?? newId() });
  let shifts = known?.shifts ?? [];
  const remember = () =>
    writeFileAtomic(join(folder, ID_FILE), `${JSON.stringify({ ...run, baseUrl, shifts }, null, 2)}\n`);
  await remember();
  const there = known ? await client.progressOf(run) : { lines: 0, lastStep: -1 };
  const url = `${appUrl(baseUrl)}/${[run.entity, run.project].map(encodeURIComponent).join('/')}/runs/${run.id}`;
  const rows = rowSender(client, run, there.lines, onMessage);
  const started = Date.now();
  let pending: Row = {};
  let pendingEpoch = 0;
  let lastEpoch = -1; // of this process
  let { lastStep } = there; // sent or on its way

  const stamped = (step: number): Row => {
    const now = Date.now();
    return { _step: step, _timestamp: now / 1000, _runtime: (now - started) / 1000 };
  };
  // What the folder knows and the server does not: rows that waited when the run was killed, or all of them when an
  // earlier part of the run was not logged there.
  for (const { epoch, ...row } of await earlierRows(folder)) {
    const step = stepOf(shifts, epoch);
    if (step <= there.lastStep) continue;
    lastStep = step;
    rows.add({ ...stamped(step), epoch, ...row });
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
  const has = lastStep; // rows up to here are of an earlier part of the run
  /** From now on `epoch` is at a later step; known to the folder before anything is sent there. */
  const shift = (epoch: number, step: number) => {
    shifts = shifted(shifts, epoch, step);
    work = work.then(remember);
  };
  return {
    url,
    onEpoch(metrics, { advantages, rewards }) {
      const { epoch } = metrics;
      const evaluated = pending;
      pending = {};
      if (epoch <= lastEpoch) shift(epoch, lastStep + 1); // rolled back
      lastEpoch = epoch;
      const step = stepOf(shifts, epoch);
      if (step <= has) return;
      lastStep = step;
      const row = { ...stamped(step), ...metrics };
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
      pendingEpoch = epoch;
      for (const [name, value] of Object.entries(details)) pending[`evaluation/${name}`] = value;
      if (grid === undefined || stepOf(shifts, epoch) <= has) return;
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
      const step = stepOf(shifts, pendingEpoch);
      const last = Object.keys(pending).length > 0 && step > lastStep;
      if (last) shift(pendingEpoch, step + 1); // the step of this row is taken, should the run go on
      await work;
      if (last) rows.add({ ...stamped(step), ...pending });
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

async function earlierRows(folder: string): Promise<(Row & { readonly epoch: number })[]> {
  const metrics = await readJsonLines<EpochMetrics>(join(folder, 'metrics.jsonl'));
  const histograms = await readJsonLines<HistogramRecord>(join(folder, 'histograms.jsonl'));
  return metrics.map((row) => {
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

async function readId(folder: string): Promise<{ id: string; shifts?: StepShift[] } | undefined> {
  const file = join(folder, ID_FILE);
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const known = JSON.parse(text) as { id?: unknown; shifts?: StepShift[] } | null;
    if (typeof known?.id === 'string') return { ...known, id: known.id };
  } catch {
    // Said below.
  }
  throw new Error(
    `${file} is damaged: it does not name the run on the server. Delete it to go on in a new run there, or write {"id": "…"} with the run's id in it`,
  );
}

/** Eight letters and digits, as wandb's own. */
function newId(): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from(randomBytes(8), (byte) => alphabet[byte % alphabet.length]).join('');
}
