const NUMBERS: Readonly<Record<number, string>> = { 2: 'two', 3: 'three', 4: 'four' };

/** `a red circle`, `an orange star`, `two squares`; no colour is free to the model. */
export function promptOf(count: number, color: string, shape: string): string {
  const what = [color, count > 1 ? `${shape}s` : shape].filter(Boolean).join(' ');
  return count > 1 ? `${NUMBERS[count]} ${what}` : `${/^[aeiou]/.test(what) ? 'an' : 'a'} ${what}`;
}
