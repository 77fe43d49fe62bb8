/** What stands around a page: its title, the way through its parts, and the answers at a glance. */
import type { ComponentChildren } from 'preact';
import { toggleTheme, useTheme } from './theme';

export interface HeaderProps {
  readonly title: string;
  /** The parts of the page: their ids, and what they are called. */
  readonly parts: Readonly<Record<string, string>>;
  /** Between the title and the parts. */
  readonly children?: ComponentChildren;
}

export function Header({ title, parts, children }: HeaderProps) {
  const theme = useTheme();
  return (
    <header>
      <div class="row">
        <h1>{title}</h1>
        <button type="button" class="theme" onClick={toggleTheme}>
          {theme === 'dark' ? 'Light' : 'Dark'}
        </button>
      </div>
      {children}
      <nav aria-label="Parts of the page">
        {Object.entries(parts).map(([id, text]) => (
          <a key={id} href={`#${id}`}>
            {text}
          </a>
        ))}
      </nav>
    </header>
  );
}

export const SkipLink = ({ to }: { to: string }) => (
  <a class="skip" href={`#${to}`}>
    Skip to the {to}
  </a>
);

export type Tone = 'good' | 'bad' | 'warn' | 'plain';

export interface TileProps {
  /** What whoever opens the page asks. */
  readonly question: string;
  readonly tone?: Tone;
  /** Two or three words, or a figure. */
  readonly verdict: string;
  /** One sentence with the figures. */
  readonly because: string;
  readonly children?: ComponentChildren;
}

export function Tile({ question, tone = 'plain', verdict, because, children }: TileProps) {
  return (
    <div class={`tile ${tone}`}>
      <h3>{question}</h3>
      <p class="verdict">{verdict}</p>
      <p>{because}</p>
      {children}
    </div>
  );
}
