/** `node dist/main.js MODEL [--adapter FOLDER] [--port 8080]` */
import { Command } from 'commander';
import { imageServer } from './server';
import { openStudio } from './studio';

const command = new Command()
  .argument('<model>', 'folder or hub id of a Show-o2 model')
  .option('--adapter <folder>', "low-rank adapters, such as a run's folder adapter")
  .option('--port <number>', 'where to listen', '8080')
  .option(
    '--host <address>',
    'for others than this machine: 0.0.0.0, behind a proxy that knows who may',
    '127.0.0.1',
  )
  .option('--queue <number>', 'orders that may wait', '32')
  .parse();
const { adapter, port, host, queue } = command.opts<{
  adapter?: string;
  port: string;
  host: string;
  queue: string;
}>();
const [model] = command.args as [string];

console.log(`loading ${model}`);
const program = new URL('./worker.js', import.meta.url);
const studio = await openStudio({ model, adapter, maxWaiting: Number(queue), program });
const server = imageServer(studio);
server.listen(Number(port), host, () => console.log(`POST http://${host}:${port}/images {"prompt": "…"}`));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close(() => void studio.close());
  });
}
