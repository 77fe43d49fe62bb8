/** A process's connection to the coordinator. */

import { connect } from 'node:net';
import { hostname } from 'node:os';
import { challenge, isProof, PROTOCOL, proof, receive, send } from './protocol.mjs';

/** Milliseconds between attempts to reach a coordinator that is not there yet. */
const RETRY_MS = 250;

/**
 * @typedef {{ host: string, port: number, secret: string, id: number, processes: number, joinMs: number, silenceMs: number,
 *   endsProcess?: boolean, onEnd: (reason: string) => void }} Options
 * @typedef {NonNullable<Awaited<ReturnType<typeof join>>>} Link
 */

/**
 * Joins a run. `onEnd` is called once, with the reason, when another process or the coordinator is lost. Where it ends the
 * process (`endsProcess`) nothing is answered any more: whoever asked would fail first, with another status and less to say.
 *
 * @param {Options} options
 * @returns {Promise<Link>}
 */
export async function joinCoordinator(options) {
  const until = performance.now() + options.joinMs;
  for (;;) {
    const link = await join(options, until);
    if (link) return link;
    if (performance.now() + RETRY_MS > until) {
      throw new Error(
        `what listens at ${placeOf(options)} closes the connection without an answer: check that it is process 0, and that no proxy is in between`,
      );
    }
    await pause();
  }
}

/**
 * One attempt; undefined where the other side hung up without a word, as one does that strangers throng.
 *
 * @param {Options} options
 * @param {number} until
 */
async function join({ host, port, secret, id, processes, silenceMs, endsProcess, onEnd }, until) {
  const where = placeOf({ host, port });
  const socket = await reach(host, port, where, until);
  /** @type {Map<number, (message: Record<string, unknown>) => void>} */
  const open = new Map();
  let next = 1;
  let heard = performance.now();
  let over = false;
  let lost = false;
  /** @param {string} reason */
  const end = (reason) => {
    if (over) return;
    over = true;
    lost = true;
    if (!endsProcess) for (const answer of open.values()) answer({});
    onEnd(reason);
  };
  /** @param {Record<string, unknown>} message */
  const fromCoordinator = (message) => {
    if (typeof message.answer === 'number') {
      open.get(message.answer)?.(message);
      open.delete(message.answer);
    } else if (typeof message.end === 'string') end(message.end);
    else if (message.over) over = true;
  };
  const nonce = challenge();
  let greeted = false;
  let isMember = false;
  /** @type {Promise<boolean>} */
  const joined = new Promise((resolve, reject) => {
    /** @type {string} */
    let theirs;
    socket.once('data', () => {
      greeted = true;
    });
    receive(socket, {
      trusted: () => true,
      onMessage: (message) => {
        heard = performance.now();
        if (isMember) fromCoordinator(message);
        else if (typeof message.challenge === 'string') {
          theirs = message.challenge;
          const own = proof(secret, 'process', theirs, nonce, id);
          send(socket, {
            join: id,
            processes,
            protocol: PROTOCOL,
            name: `${hostname()}, pid ${process.pid}`,
            nonce,
            proof: own,
          });
        } else if (typeof message.refused === 'string') {
          reject(new Error(`the coordinator at ${where} refuses process ${id}: ${message.refused}`));
        } else if ('welcome' in message) {
          isMember = isProof(message.proof, proof(secret, 'coordinator', nonce, theirs));
          if (isMember) resolve(true);
          else
            reject(new Error(`what listens at ${where} does not know the secret: it belongs to another run`));
        }
      },
    });
    socket.on('close', () => {
      if (isMember)
        return end(`process 0, which has the coordinator at ${where}, is gone: it was killed, or crashed`);
      if (!greeted) return resolve(false);
      reject(
        new Error(
          `what listens at ${where} is not a coordinator of this version, or it has ended: check whether another program uses the port`,
        ),
      );
    });
    setTimeout(
      () => reject(new Error(`the coordinator at ${where} does not answer`)),
      until - performance.now(),
    ).unref();
  });
  try {
    if (!(await joined)) return undefined;
  } catch (error) {
    over = true;
    socket.destroy();
    throw error;
  }
  const heart = setInterval(() => {
    send(socket, { op: 'beat' });
    const silent = performance.now() - heard;
    if (silent > silenceMs) {
      end(
        `process 0, which has the coordinator at ${where}, has been silent for ${Math.round(silent / 1000)} s: it hangs, or its machine is unreachable`,
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
      if (lost && endsProcess) return new Promise(() => {});
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
 * @param {string} where
 * @param {number} until
 * @returns {Promise<import('node:net').Socket>}
 */
async function reach(host, port, where, until) {
  for (;;) {
    try {
      return await new Promise((resolve, reject) => {
        const socket = connect({ host, port, noDelay: true, keepAlive: true }, () => resolve(socket));
        socket.once('error', reject);
        socket.on('error', () => {});
      });
    } catch (error) {
      if (performance.now() > until) {
        throw new Error(
          `nothing listens at ${where} (${/** @type {Error} */ (error).message}): start process 0 too, and check that no firewall blocks the port`,
        );
      }
    }
    await pause();
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, RETRY_MS));

/**
 * @param {{ host: string, port: number }} address
 */
const placeOf = ({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`;
