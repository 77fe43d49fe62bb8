/** A process of its own that downloads a repository: argv is endpoint, cache folder. Prints the folder. */
import { snapshotDownload } from '../index';

const [, , endpoint, cacheDir] = process.argv as [string, string, string, string];
console.log('started');
console.log(await snapshotDownload('org/tiny', { endpoint, cacheDir, offline: false }));
