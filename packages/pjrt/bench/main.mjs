/**
 * Host time of a dispatch, and bandwidth between host and device. `node bench/main.mjs [--platform cpu|cuda]
 * [--json FILE]`; the plugin is the one that discovery finds.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createClient } from '../dist/index.js';

const { values: options } = parseArgs({
  options: { platform: { type: 'string' }, json: { type: 'string' } },
});
const client = await createClient({ platform: options.platform, preallocate: false });
const rows = [];

/** Median time of `run` in microseconds over `rounds` rounds of `count`. */
const median = (rounds, count, run) => {
  const times = Array.from({ length: rounds }, () => {
    const started = performance.now();
    for (let i = 0; i < count; i++) run();
    return ((performance.now() - started) * 1000) / count;
  }).sort((a, b) => a - b);
  return times[Math.floor(rounds / 2)];
};
const add = (what, value, unit) => rows.push({ what, value: Number(value.toPrecision(4)), unit });

/** A program of `count` vector arguments that returns the sum of the first two. */
const compile = (count) => {
  const type = 'tensor<8xf32>';
  const list = Array.from({ length: count }, (_, i) => `%a${i}: ${type}`).join(', ');
  return client.compileSync(`module { func.func @main(${list}) -> ${type} {
    %s = stablehlo.add %a0, %a1 : ${type}
    return %s : ${type}
  } }`);
};

for (const count of [2, 100, 1000]) {
  const program = compile(count);
  const args = Array.from({ length: count }, () => client.bufferFromHost(new Float32Array(8), 'f32', [8]));
  const run = () => program.execute([args])[0][0].dispose();
  median(3, 1000, run);
  add(`execute and dispose, ${count} arguments`, median(15, count > 100 ? 200 : 2000, run), 'µs');
  for (const each of [...args, program]) each.dispose();
}

for (const megabytes of [1, 64]) {
  const data = new Float32Array(megabytes * 2 ** 18).fill(1);
  const rate = (ms) => (megabytes * 2 ** 20) / (ms / 1000) / 1e9;
  const timed = async (run) => {
    const times = [];
    for (let i = 0; i < 9; i++) {
      const started = performance.now();
      await run();
      times.push(performance.now() - started);
    }
    return times.sort((a, b) => a - b)[4];
  };
  const kept = client.bufferFromHost(data, 'f32', [data.length]);
  const send = async () => {
    const buffer = await client.bufferFromHostAsync(data, 'f32', [data.length]);
    await buffer.ready();
    buffer.dispose();
  };
  const target = new Float32Array(data.length);
  add(`host to device, ${megabytes} MiB`, rate(await timed(send)), 'GB/s');
  add(`device to host, ${megabytes} MiB, given target`, rate(await timed(() => kept.toHost(target))), 'GB/s');
  add(`device to host, ${megabytes} MiB, fresh memory`, rate(await timed(() => kept.toHost())), 'GB/s');
  kept.dispose();
}

const scalar = client.bufferFromHost(new Float32Array(1), 'f32', []);
add(
  'read a scalar, blocking',
  median(15, 1000, () => scalar.toHostSync()),
  'µs',
);
scalar.dispose();

const width = Math.max(...rows.map(({ what }) => what.length));
console.log(`${client.platformName}, ${client.devices[0].kind}, C API 0.${client.apiVersion.minor}`);
for (const { what, value, unit } of rows)
  console.log(`${what.padEnd(width)}  ${String(value).padStart(8)} ${unit}`);
if (options.json !== undefined) {
  const machine = {
    platform: client.platformName,
    device: client.devices[0].kind,
    node: process.versions.node,
  };
  writeFileSync(options.json, `${JSON.stringify({ machine, rows }, null, 2)}\n`);
}
client.dispose();
