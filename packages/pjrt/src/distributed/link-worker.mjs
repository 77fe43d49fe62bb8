/**
 * The thread that has the network: it runs the coordinator in process 0, the process's link, and answers the main thread and
 * the callbacks' threads. It never waits for any of them, so that the others learn of a main thread that is stuck in a
 * collective whose partner is dead.
 */
import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import koffi from 'koffi';
import { startCoordinator } from './coordinator.mjs';
import { joinCoordinator } from './link.mjs';

/** sysexits' EX_TEMPFAIL: what failed may succeed when it is tried again. */
const PEER_LOST = 75;

const main = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
const { host, port, bind, secret, id, processes, joinMs, silenceMs, tellMain, left } = workerData;

/** Milliseconds that the coordinator stays, so that all others are told before it goes. */
const TELL_MS = 500;

/** @param {string} reason */
function onEnd(reason) {
  if (tellMain) return main.postMessage({ lost: reason });
  writeSync(
    2,
    `Process ${id} ends: ${reason}. Start all processes again to resume from the last checkpoint.\n`,
  );
  setTimeout(exit, id === 0 ? TELL_MS : 0);
}

function exit() {
  if (process.platform !== 'win32') koffi.load(null).func('_exit', 'void', ['int'])(PEER_LOST);
  process.kill(process.pid, 'SIGKILL');
}

/** @type {import('./link.mjs').Link} */
let link;
try {
  const coordinator =
    id === 0
      ? await startCoordinator({ host: bind ?? host, port, secret, processes, joinMs, silenceMs })
      : undefined;
  link = await joinCoordinator({
    host: id === 0 ? (bind ?? host) : host,
    port: coordinator?.port ?? port,
    secret,
    id,
    processes,
    joinMs,
    silenceMs,
    onEnd,
  });
  main.postMessage({ joined: coordinator?.port ?? port });
} catch (error) {
  main.postMessage({ failed: /** @type {Error} */ (error).message });
}

main.on('message', async (message) => {
  if (message.callbacks) {
    const { port: asking, flag } = message.callbacks;
    asking.on('message', async (/** @type {object} */ request) => {
      asking.postMessage(await link.request(request));
      Atomics.store(flag, 0, 1);
      Atomics.notify(flag, 0);
    });
  } else if (message.leave !== undefined) {
    link.leave();
    await link.request({ op: 'leave', status: message.leave });
    Atomics.store(left, 0, 1);
    Atomics.notify(left, 0);
  } else main.postMessage({ ...(await link.request(message.ask)), to: message.to });
});
