/** Copies the threads of distributed clients into the folder of a program that has this package bundled into it. */
export function copyThreads(folder: string): void;
