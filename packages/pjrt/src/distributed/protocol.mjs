/**
 * How a coordinator and its processes speak: one JSON object per line, the secret proved before anything else. This folder's
 * `.mjs` files run in worker threads, which load them as they are, from the sources as from the package.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** What both sides must speak alike; raised when a message changes its meaning. */
export const PROTOCOL = 1;

/** Of a line before the secret was proved, and after it. */
const STRANGERS_LINE = 2048;
const MEMBERS_LINE = 256 * 2 ** 20;

export const challenge = () => randomBytes(32).toString('hex');

/**
 * What proves that its maker knows the secret, for one connection and one role.
 *
 * @param {string} secret
 * @param {readonly (string | number)[]} parts
 */
export const proof = (secret, ...parts) => createHmac('sha256', secret).update(parts.join(':')).digest('hex');

/**
 * @param {unknown} given
 * @param {string} expected
 */
export function isProof(given, expected) {
  if (typeof given !== 'string' || given.length !== expected.length) return false;
  return timingSafeEqual(Buffer.from(given), Buffer.from(expected));
}

/**
 * @param {import('node:net').Socket} socket
 * @param {object} message
 */
export function send(socket, message) {
  if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`);
}

/**
 * Calls `onMessage` with every object that arrives. A line that is too long, or is none, ends the connection.
 *
 * @param {import('node:net').Socket} socket
 * @param {{ trusted: () => boolean, onMessage: (message: Record<string, unknown>) => void }} options
 */
export function receive(socket, { trusted, onMessage }) {
  /** @type {Buffer[]} */
  let parts = [];
  let length = 0;
  socket.on('data', (/** @type {Buffer} */ chunk) => {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, at));
      const line = Buffer.concat(parts).toString();
      parts = [];
      length = 0;
      from = at + 1;
      const message = parsed(line);
      if (message === undefined || line.length > limit()) return void socket.destroy();
      onMessage(message);
      if (socket.destroyed) return;
    }
    parts.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > limit()) socket.destroy();
  });
  const limit = () => (trusted() ? MEMBERS_LINE : STRANGERS_LINE);
}

/**
 * @param {string} line
 * @returns {Record<string, unknown> | undefined}
 */
function parsed(line) {
  try {
    const value = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
