/** What the processes of a run meet at: keys and values, gathering, and who is still there. */
import { createServer } from 'node:net';
import { challenge, isProof, PROTOCOL, proof, receive, send } from './protocol.mjs';

/** Milliseconds that a stranger has to prove the secret, and how many of them may be connected: the oldest goes for a new one. */
const STRANGERS_MS = 10_000;
const STRANGERS = 128;

/**
 * @typedef {{ socket: import('node:net').Socket, name: string, heard: number }} Member
 * @typedef {{ values: Map<number, string>, requests: Map<number, unknown> }} Gathering
 * @typedef {{ host: string, port: number, secret: string, processes: number, joinMs: number, silenceMs: number }} Options
 */

/**
 * Starts the coordinator at one address. It ends all processes as soon as one is lost, is silent for `silenceMs`, or does not
 * come within `joinMs`.
 *
 * @param {Options} options
 */
export async function startCoordinator({ host, port, secret, processes, joinMs, silenceMs }) {
  /** @type {Map<number, Member>} */
  const members = new Map();
  /** @type {Set<number>} */
  const left = new Set();
  /** @type {Map<string, string>} */
  const values = new Map();
  /** @type {Map<string, Set<(value: string) => void>>} */
  const waiting = new Map();
  /** @type {Map<string, Gathering>} */
  const gatherings = new Map();
  /** @type {Set<import('node:net').Socket>} */
  const strangers = new Set();
  /** @type {string | undefined} */
  let over;

  /** @param {string} reason */
  const end = (reason) => {
    over ??= reason;
    for (const { socket } of members.values()) send(socket, { end: over });
  };

  const server = createServer((socket) => {
    /** @type {number | undefined} */
    let id;
    const nonce = challenge();
    socket.on('error', () => {});
    if (strangers.size >= STRANGERS) {
      const [oldest] = strangers;
      if (oldest) strangers.delete(oldest);
      oldest?.destroy();
    }
    strangers.add(socket);
    const hurry = setTimeout(() => socket.destroy(), STRANGERS_MS);
    const noStranger = () => {
      strangers.delete(socket);
      clearTimeout(hurry);
    };
    socket.on('close', () => {
      noStranger();
      if (id === undefined || members.get(id)?.socket !== socket) return;
      const { name } = /** @type {Member} */ (members.get(id));
      members.delete(id);
      if (!left.has(id)) end(`process ${id} (${name}) is gone: it was killed, or crashed`);
    });
    receive(socket, {
      trusted: () => id !== undefined,
      onMessage: (message) => {
        if (id !== undefined) return serve(id, socket, message);
        const answer = admission(nonce, message);
        if ('refused' in answer) {
          send(socket, answer);
          return void socket.end();
        }
        id = answer.id;
        noStranger();
        members.set(id, { socket, name: answer.name, heard: performance.now() });
        send(socket, { welcome: id, proof: proof(secret, 'coordinator', String(message.nonce), nonce) });
        if (over !== undefined) send(socket, { end: over });
      },
    });
    send(socket, { challenge: nonce });
  });

  /**
   * @param {string} nonce
   * @param {Record<string, unknown>} message
   * @returns {{ id: number, name: string } | { refused: string }}
   */
  const admission = (nonce, { join, name, nonce: theirs, proof: given, protocol, processes: counted }) => {
    if (!isProof(given, proof(secret, 'process', nonce, String(theirs), String(join)))) {
      return { refused: 'its secret is different: give all processes the same one' };
    }
    if (protocol !== PROTOCOL) {
      return {
        refused: 'it has a different version of @flow-grpo/pjrt: install the same version everywhere',
      };
    }
    if (typeof join !== 'number' || !Number.isInteger(join) || join < 0 || join >= processes) {
      return { refused: `there is no process ${join} among ${processes}: numbers are 0 to ${processes - 1}` };
    }
    if (counted !== processes) {
      return {
        refused: `it was started for ${counted} processes and this run has ${processes}: it belongs to another run`,
      };
    }
    const id = join;
    const taken = members.get(id)?.name ?? (left.has(id) ? 'a process that has ended' : undefined);
    if (taken !== undefined) return { refused: `process ${id} has already joined (${taken})` };
    return { id, name: String(name) };
  };

  /**
   * @param {number} id
   * @param {import('node:net').Socket} socket
   * @param {Record<string, unknown>} message
   */
  const serve = (id, socket, message) => {
    const member = members.get(id);
    if (member) member.heard = performance.now();
    const { request, op } = message;
    const key = String(message.key);
    /** @param {object} result */
    const answer = (result) => send(socket, { answer: request, ...result });
    switch (op) {
      case 'beat':
        return send(socket, { beat: true });
      case 'put':
        values.set(key, String(message.value));
        for (const found of waiting.get(key) ?? []) found(String(message.value));
        waiting.delete(key);
        return answer({});
      case 'try':
        return answer({ value: values.get(key) });
      case 'get':
        return get(key, Number(message.ms), answer);
      case 'gather':
        return gather(id, key, String(message.value), request);
      case 'leave': {
        left.add(id);
        const status = Number(message.status);
        if (status !== 0) end(`process ${id} (${member?.name}) ended with status ${status}`);
        // The coordinator goes with its process: whoever is left has nobody to miss.
        else if (id === 0) for (const other of members.values()) send(other.socket, { over: true });
        return answer({});
      }
      default:
        if (request !== undefined) answer({});
    }
  };

  /**
   * @param {string} key
   * @param {number} ms
   * @param {(result: object) => void} answer
   */
  const get = (key, ms, answer) => {
    const there = values.get(key);
    if (there !== undefined) return answer({ value: there });
    const found = (/** @type {string} */ value) => {
      clearTimeout(timer);
      answer({ value });
    };
    const timer = setTimeout(() => {
      waiting.get(key)?.delete(found);
      answer({});
    }, ms);
    waiting.set(key, (waiting.get(key) ?? new Set()).add(found));
  };

  /**
   * @param {number} id
   * @param {string} key
   * @param {string} value
   * @param {unknown} request
   */
  const gather = (id, key, value, request) => {
    const gathering = gatherings.get(key) ?? { values: new Map(), requests: new Map() };
    gatherings.set(key, gathering);
    gathering.values.set(id, value);
    gathering.requests.set(id, request);
    if (gathering.values.size < processes) return;
    gatherings.delete(key);
    const all = Array.from({ length: processes }, (_, i) => gathering.values.get(i));
    for (const [member, own] of gathering.requests) {
      const socket = members.get(member)?.socket;
      if (socket) send(socket, { answer: own, values: all });
    }
  };

  // Not by the clock of the machine, which may be set meanwhile.
  const started = performance.now();
  const patrol = setInterval(
    () => {
      const now = performance.now();
      for (const [id, { name, heard }] of members) {
        if (now - heard > silenceMs && !left.has(id)) {
          end(
            `process ${id} (${name}) has been silent for ${Math.round((now - heard) / 1000)} s: it hangs, or its machine is unreachable`,
          );
        }
      }
      const missing = Array.from({ length: processes }, (_, id) => id).filter(
        (id) => !members.has(id) && !left.has(id),
      );
      if (missing.length > 0 && now - started > joinMs && over === undefined) {
        end(`process ${missing.join(', ')} did not join within ${Math.round(joinMs / 1000)} s`);
      }
    },
    Math.min(1000, silenceMs / 4),
  );
  patrol.unref();

  await new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new Error(
          `the coordinator cannot listen at ${host}:${port} (${error.message}): it must be an address of this machine, and the port free`,
        ),
      ),
    );
    server.listen({ host, port, exclusive: true }, () => resolve(undefined));
  });
  const { port: actual } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    port: actual,
    close() {
      clearInterval(patrol);
      server.close();
      for (const { socket } of members.values()) socket.destroy();
    },
  };
}
