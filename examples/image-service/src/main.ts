/** `node dist/main.js MODEL [--adapter FOLDER] [--size PIXELS] [--port 8080]` */
import { Command } from 'commander';
import { imageServer } from './server';
import { openStudio } from './studio';

const command = new Command()
  .argument('<model>', 'folder or hub id of a Show-o2 model')
  .option('--adapter <folder>', "low-rank adapters, such as a run's folder adapter")
  .option('--size <pixels>', "along a side (default: the model's own)")
  .option('--port <number>', 'where to listen', '8080')
  .option(
    '--host <address>',
    'for others than this machine: 0.0.0.0, behind a proxy that knows who may',
    '127.0.0.1',
  )
  .option(
    '--allow-host <names...>',
    'further host names by which clients reach it, as a proxy passes them on',
  )
  .option('--queue <number>', 'orders that may wait', '32')
  .parse();
const { adapter, size, port, host, queue, allowHost } = command.opts<{
  adapter?: string;
  size?: string;
  port: string;
  host: string;
  queue: string;
  allowHost?: string[];
}>();
const [model] = command.args as [string];

console.log(`loading ${model}`);
const program = new URL('./worker.js', import.meta.url);
const studio = await openStudio({
  model,
  adapter,
  size: size === undefined ? undefined : Number(size),
  maxWaiting: Number(queue),
  program,
});
const server = imageServer(studio, { hostname: host, ...(allowHost && { allowedHosts: allowHost }) });
server.once('error', (error) => {
  console.error(`${host}:${port}: ${error.message}`);
  process.exit(1);
});
server.listen(Number(port), host, () => console.log(`POST http://${host}:${port}/images {"prompt": "…"}`));
void studio.ended.then((error) => {
  console.error(error.message);
  process.exitCode = 1; // for what restarts it
  server.close();
  server.closeAllConnections();
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close(() => process.exit(0)); // after the orders that it has taken
  });
}
