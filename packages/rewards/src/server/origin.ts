/** Keeps web pages from using a server of this machine: by rebinding a name to its address, or by cross-site requests. */
import { isIP } from 'node:net';
import { hostname as machineName } from 'node:os';

/** The name in a Host header or of an origin, without port and brackets; undefined for what is neither. */
function nameOf(host: string): string | undefined {
  if (/[\s@/?#\\]/.test(host)) return undefined;
  try {
    return new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, '').toLowerCase();
  } catch {
    return undefined;
  }
}

/**
 * Why a request to a local server is refused, or undefined. Addresses are always right: a page can only use a name of its
 * own. Names are those of this machine, the one that the server listens at, and those allowed.
 *
 * @param flag what allows a name on the command line, for the message
 */
export function refusedOrigin(
  headers: { host?: string | undefined; origin?: string | undefined; site?: string | undefined },
  hostname: string,
  allowedHosts: readonly string[],
  flag = '--allow-host',
): string | undefined {
  const { host = '', origin, site } = headers;
  const name = host === '' ? undefined : nameOf(host);
  const names = ['localhost', machineName(), hostname, ...allowedHosts].map((one) => one.toLowerCase());
  if (name === undefined || (isIP(name) === 0 && !names.includes(name))) {
    return `the host ${JSON.stringify(host.slice(0, 100))} is not one of this server; allow it by its name (allowedHosts, ${flag})`;
  }
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
    return 'requests from other websites are refused';
  }
  if (site !== undefined && site !== 'same-origin' && site !== 'none') {
    return 'requests from other websites are refused';
  }
  return undefined;
}
