/** The recipe over many machines like this one, compiled here: what a device needs, what is sent, and the estimate of scaling. */
import { runCommand } from '../command';
import { report } from '../reporting';
import { inKeptFolder } from '../temporary';
import type { Workload } from '../workload';
import { earlier, programsIn, runner } from './recipe';
import { allDevices, overridesOf, trainingArguments } from './recipe-run';

const DEVICES = [8, 64, 256];
/** Gigabytes per second between machines: 400 Gbit/s. */
const BANDWIDTH = 50;

export const hostsPlan = (workload: Workload): Promise<void> =>
  inKeptFolder(async (folder) => {
    const each = allDevices();
    const variant = each === 1 ? 'one' : 'all';
    const runOf = await runner(folder);
    // What an epoch takes on one machine.
    if (!earlier(folder, variant)) await runOf(variant);
    const training = trainingArguments(overridesOf(workload, folder, variant));
    for (const devices of DEVICES) {
      const hosts = devices / each;
      const question = ['--dry-run', '--hosts', `${hosts}`, '--bandwidth', `${BANDWIDTH}`];
      const ended = await runCommand([...training, ...question], programsIn(folder));
      const { status, output, errors, seconds } = ended;
      if (status !== 0) throw new Error(`the plan for ${devices} devices ended with ${status}: ${errors}`);
      console.log(output);
      const { memory, network, scaling, from } = lastRows(output);
      report(`hosts.plan.${devices}`, { hosts, devices, seconds, memory, network, scaling, from });
    }
  });

/** Rows of the last table, by their first word. */
const lastRows = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .trim()
      .split(/\n{2,}/)
      .at(-1)!
      .split('\n')
      .map((line) => [line.split(/\s/)[0]!, line.replace(/^\S+\s+/, '')]),
  );
