/** Where an epoch's time goes: phases, programs on the device, scoring. */
export { chromeTrace, type Span } from './chrome-trace';
export { profileTable } from './profile-table';
export { type Profile, type ProfileRow, type Profiler, profiler } from './profiler';
