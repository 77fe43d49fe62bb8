/** flow-grpo doctor */

import { ConfigError, peakTflopsOf } from '@flow-grpo/grpo-trainer';
import { compilationStats } from '@flow-grpo/tfjs-backend-xla';
import { deviceInfo } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import manifest from '../../package.json' with { type: 'json' };
import { checkProcesses } from '../processes/check';
import { joining } from '../processes/join';
import type { PlaceFlags } from '../processes/place';
import { bytes, textTable } from '../run/start-table';
import { EXIT } from './failure';
import { leaveRun, useBackend } from './shared';

const OPTIONAL = {
  '@flow-grpo/rewards': () => import('@flow-grpo/rewards'),
  '@flow-grpo/datasets': () => import('@flow-grpo/datasets'),
} as const;

interface DoctorOptions extends PlaceFlags {
  readonly backend: string;
  readonly json?: boolean;
  /** Check what several processes need, in each of them. */
  readonly distributed?: boolean;
}

/** Prints what this machine can run; the exit code is 1 if it cannot train. */
export async function doctorCommand(options: DoctorOptions): Promise<void> {
  if (options.distributed) return checkTogether(options);
  const { backend, json } = options;
  const rows: [string, string][] = [
    ['Node', process.version],
    ['platform', `${process.platform} ${process.arch}`],
  ];
  let ok = false;
  try {
    await useBackend(backend);
    const product = tf.matMul(tf.ones([64, 64]), tf.ones([64, 64]));
    const [value] = await product.data();
    const works = value === 64;
    ok = works;
    rows.push(['backend', works ? `${backend}: works` : `${backend}: 64 × 1 × 1 gives ${value}`]);
    if (backend === 'xla') {
      rows.push(['devices', deviceText()]);
      const { compiled, loadedFromDisk } = compilationStats();
      rows.push(['compilation', `${compiled} compiled, ${loadedFromDisk} from the cache`]);
    }
  } catch (error) {
    const why = (error as Error).message.replace(/^(--backend: |backend \S+ (?=does not start))/, '');
    rows.push(['backend', `${backend}: ${why.replaceAll('\n', '; ')}`]);
  }
  for (const [name, load] of Object.entries(OPTIONAL)) {
    const found = await load().then(
      () => 'installed',
      () => `not installed; setup showo2 needs it (npm install ${name})`,
    );
    rows.push([name, found]);
  }
  if (!ok) process.exitCode = EXIT.failed;
  console.log(json ? JSON.stringify({ ok, ...Object.fromEntries(rows) }) : textTable(rows));
}

/** In each process of a run: starts XLA over all of them, compares them, and sums over their devices; process 0 tells. */
async function checkTogether({ backend, json, ...flags }: DoctorOptions): Promise<void> {
  const place = await joining(flags);
  if (!place) {
    throw new ConfigError(
      '--distributed: this process was not started as one of several: start it the way you start the run (srun, torchrun, …), or give --coordinator, --process and --processes',
    );
  }
  await useBackend(backend, undefined, place);
  const { rows, problems } = await checkProcesses(manifest.version);
  leaveRun();
  if (problems.length > 0) process.exitCode = EXIT.failed;
  if (place.processId === 0) {
    const table = [...rows, ...problems.map((problem): [string, string] => ['problem', problem])];
    console.log(json ? JSON.stringify({ ok: problems.length === 0, rows, problems }) : textTable(table));
  }
}

/** E.g. `8 × NVIDIA H200 (cuda), 150 GB each, peak 989 TFLOP/s`; what is not known is left out. */
function deviceText(): string {
  const devices = deviceInfo();
  const { kind, platform, bytesLimit } = devices[0]!;
  const peak = peakTflopsOf(kind);
  return [
    `${devices.length} × ${kind} (${platform})`,
    ...(bytesLimit ? [`${bytes(bytesLimit)} each`] : []),
    ...(peak ? [`peak ${peak} TFLOP/s`] : []),
  ].join(', ');
}
