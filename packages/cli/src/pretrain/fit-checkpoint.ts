/** Where a fit stands, in a folder: one file of tensors, and a pointer that names it. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { loadParams, saveSafetensors, writeFileAtomic } from '@flow-grpo/checkpoint-io';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import type { Params } from '@flow-grpo/grpo-trainer';
import type { OptimizerState } from '@flow-grpo/grpo-trainer/maths';
import { changesBetween } from '@flow-grpo/grpo-trainer/node';
import * as tf from '@tensorflow/tfjs-core';

/** What defines a fit, as text by name: it resumes with the same only. */
export type FitIdentity = Readonly<Record<string, string>>;

interface Pointer {
  readonly step: number;
  readonly file: string;
  readonly madeWith: FitIdentity;
}

const POINTER = 'current.json';
const PARTS = ['trained', 'ema', 'mean', 'variance'] as const;

/** One safetensors file holds all tensors, and its name the step: a rename of the pointer file makes it current. */
export async function saveFit(
  folder: string,
  state: OptimizerState,
  step: number,
  madeWith: FitIdentity,
): Promise<void> {
  makeFolder(folder);
  const parts: Record<string, Params> = { trained: state.trained, ema: state.ema, ...state.optimizer };
  const tensors = Object.fromEntries(
    Object.entries(parts).flatMap(([part, params]) =>
      Object.entries(params).map(([name, value]) => [`${part}.${name}`, value] as const),
    ),
  );
  const previous = await readPointer(folder);
  const file = `step-${step}.safetensors`;
  await saveSafetensors(join(folder, file), tensors);
  const pointer: Pointer = { step, file, madeWith };
  await writeFileAtomic(join(folder, POINTER), JSON.stringify(pointer));
  if (previous && previous.file !== file) await rm(join(folder, previous.file), { force: true });
}

async function readPointer(folder: string): Promise<Pointer | undefined> {
  const pointer = join(folder, POINTER);
  const text = await readFile(pointer, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  let current: { step?: unknown; file?: unknown; madeWith?: unknown } | null = null;
  try {
    current = JSON.parse(text);
  } catch {
    // Said below.
  }
  const { step, file, madeWith = {} } = current ?? {};
  const isRecord = typeof madeWith === 'object' && madeWith !== null && !Array.isArray(madeWith);
  if (
    !Number.isSafeInteger(step) ||
    (step as number) < 0 ||
    file !== `step-${step}.safetensors` ||
    !isRecord
  ) {
    throw new Error(
      `${pointer} is damaged: it does not name a step and its file. Write {"step": N, "file": "step-N.safetensors"} for the newest file there, or delete the folder to start over`,
    );
  }
  return { step: step as number, file, madeWith: madeWith as FitIdentity };
}

/**
 * The state of the checkpoint in a folder; undefined where there is none.
 *
 * @param params the weights, in the order in which they train: sums over all of them depend on it to the bit
 * @param madeWith compared with what the checkpoint was made with, where it says
 * @param allowed names that may differ, with all below them
 * @throws naming what differs, and the tensor that is missing, too many or of another shape
 */
export async function loadFit(
  folder: string,
  params: Params,
  madeWith: FitIdentity,
  allowed: readonly string[],
): Promise<{ state: OptimizerState; step: number } | undefined> {
  const current = await readPointer(folder);
  if (!current) return undefined;
  refuseChanges(folder, current.madeWith, madeWith, allowed);
  const file = join(folder, current.file);
  const all = await loadParams(file);
  try {
    checkTensors(file, params, all);
  } catch (error) {
    tf.dispose(all);
    throw error;
  }
  const part = (prefix: (typeof PARTS)[number]): Params =>
    Object.fromEntries(Object.keys(params).map((name) => [name, all[`${prefix}.${name}`]!]));
  return {
    state: {
      trained: part('trained'),
      optimizer: { mean: part('mean'), variance: part('variance') },
      ema: part('ema'),
    },
    step: current.step,
  };
}

function refuseChanges(
  folder: string,
  before: FitIdentity,
  now: FitIdentity,
  allowed: readonly string[],
): void {
  if (Object.keys(before).length === 0) return; // a pointer that was written by hand
  const changed = changesBetween(before, now, allowed);
  if (changed.length === 0) return;
  const list = changed.map(
    ({ path, before, now }) => `${path}: ${before ?? 'nothing'} → ${now ?? 'nothing'}`,
  );
  throw new Error(
    `${folder} was made with other settings (${list.join(', ')}): set it back, start in another folder, or allow the changes by name: ${changed.map(({ path }) => `--allow-changed ${path}`).join(' ')}`,
  );
}

function checkTensors(file: string, params: Params, all: Params): void {
  const expected = PARTS.flatMap((part) =>
    Object.entries(params).map(([name, { shape }]) => [`${part}.${name}`, shape] as const),
  );
  const advice = 'it belongs to another model; resume with the same one, or start in another folder';
  for (const [name, shape] of expected) {
    const stored = all[name];
    if (!stored) throw new Error(`${file} has no ${name}: ${advice}`);
    if (`${stored.shape}` !== `${shape}`)
      throw new Error(`${file} holds ${name} as [${stored.shape}], now [${shape}]: ${advice}`);
  }
  const known = new Set<string>(expected.map(([name]) => name));
  const stray = Object.keys(all).find((name) => !known.has(name));
  if (stray !== undefined) throw new Error(`${file} holds ${stray}, which is not trained now: ${advice}`);
}
