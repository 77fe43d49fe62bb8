/** A process's connection to the coordinator. */

import { connect } from 'node:net';
import { hostname } from 'node:os';
import { challenge, isProof, proof, receive, send } from './protocol.mjs';

/** Milliseconds between attempts to reach a coordinator that is not there yet. */
const RETRY_MS = 250;

/**
 * @typedef {{ host: string, port: number, secret: string, id: number, joinMs: number, silenceMs: number, onEnd: (reason: string) => void }} Options
 * @typedef {Awaited<ReturnType<typeof joinCoordinator>>} Link
 */

/**
 * Joins a run. `onEnd` is called once, with the reason, when another process or the coordinator is lost.
 *
 * @param {Options} options
 */
export async function joinCoordinator({ host, port, secret, id, joinMs, silenceMs, onEnd }) {
  const until = Date.now() + joinMs;
  const where = `${host}:${port}`;
  const socket = await reach(host, port, until);
  /** @type {Map<number, (message: Record<string, unknown>) => void>} */
  const open = new Map();
  let next = 1;
  let heard = Date.now();
  let over = false;
  /** @param {string} reason */
  const end = (reason) => {
    if (over) return;
    over = true;
    for (const answer of open.values()) answer({});
    onEnd(reason);
  };
  const nonce = challenge();
  const joined = new Promise((resolve, reject) => {
    /** @type {string} */
    let theirs;
    receive(socket, {
      trusted: () => true,
      onMessage: (message) => {
        heard = Date.now();
        if (typeof message.answer === 'number') {
          open.get(message.answer)?.(message);
          open.delete(message.answer);
        } else if (typeof message.end === 'string') end(message.end);
        else if (message.over) over = true;
        else if (typeof message.challenge === 'string') {
          theirs = message.challenge;
          const own = proof(secret, 'process', theirs, nonce, id);
          send(socket, { join: id, name: `${hostname()}, pid ${process.pid}`, nonce, proof: own });
        } else if (typeof message.refused === 'string') {
          reject(new Error(`the coordinator at ${where} refuses process ${id}: ${message.refused}`));
        } else if ('welcome' in message) {
          if (isProof(message.proof, proof(secret, 'coordinator', nonce, theirs))) resolve(undefined);
          else reject(new Error(`what listens at ${where} does not know the secret: it is another run's`));
        }
      },
    });
    socket.on('close', () => {
      reject(new Error(`the coordinator at ${where} closed the connection`));
      end(`process 0, which has the coordinator at ${where}, is gone: it was killed, or crashed`);
    });
    setTimeout(
      () => reject(new Error(`the coordinator at ${where} does not answer`)),
      until - Date.now(),
    ).unref();
  });
  try {
    await joined;
  } catch (error) {
    over = true;
    socket.destroy();
    throw error;
  }
  const heart = setInterval(() => {
    send(socket, { op: 'beat' });
    const silent = Date.now() - heard;
    if (silent > silenceMs) {
      end(
        `process 0, which has the coordinator at ${where}, has been silent for ${Math.round(silent / 1000)} s: it hangs, or its machine is gone`,
      );
    }
  }, silenceMs / 6);
  return {
    /**
     * Sends a message; gives its answer, an empty one where nobody is there to answer any more.
     *
     * @param {object} message
     * @returns {Promise<Record<string, unknown>>}
     */
    request(message) {
      if (socket.destroyed) return Promise.resolve({});
      const request = next++;
      return new Promise((resolve) => {
        open.set(request, resolve);
        send(socket, { ...message, request });
      });
    },
    /** From now on nobody is missed. */
    leave() {
      over = true;
      clearInterval(heart);
    },
    close() {
      this.leave();
      socket.destroy();
    },
  };
}

/**
 * @param {string} host
 * @param {number} port
 * @param {number} until
 * @returns {Promise<import('node:net').Socket>}
 */
async function reach(host, port, until) {
  for (;;) {
    try {
      return await new Promise((resolve, reject) => {
        const socket = connect({ host, port, noDelay: true, keepAlive: true }, () => resolve(socket));
        socket.once('error', reject);
        socket.on('error', () => {});
      });
    } catch (error) {
      if (Date.now() > until) {
        throw new Error(
          `nothing listens at ${host}:${port} (${/** @type {Error} */ (error).message}): start process 0 too, and look whether a firewall is in the way`,
        );
      }
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
