/** Light or dark: the system's setting, unless the reader chose. */
import { useEffect, useState } from 'preact/hooks';

export type Theme = 'light' | 'dark';

const KEY = 'flow-grpo-theme';
const system = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();
let chosen = stored();

/** The reader's choice of an earlier visit; some browsers refuse storage to local files. */
function stored(): Theme | undefined {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : undefined;
  } catch {
    return undefined;
  }
}

const current = (): Theme => chosen ?? (system.matches ? 'dark' : 'light');

function apply(): void {
  document.documentElement.dataset.theme = current();
  for (const listener of listeners) listener();
}

system.addEventListener('change', apply);
apply();

export function toggleTheme(): void {
  chosen = current() === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // It lasts as long as the page then.
  }
  apply();
}

/** The theme of now; draws again when it changes. */
export function useTheme(): Theme {
  const [theme, setTheme] = useState(current);
  useEffect(() => {
    const listener = () => setTheme(current());
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return theme;
}
