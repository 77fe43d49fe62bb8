/** For tests: a program that has a lease on the folder LEASE_FOLDER for a moment, long enough to renew it. */
import { setTimeout as wait } from 'node:timers/promises';
import { acquireLease } from '../lease';

const lease = await acquireLease(process.env.LEASE_FOLDER!, { renewMs: 20 });
await wait(500);
await lease.check();
await lease.release();
console.log('given back');
