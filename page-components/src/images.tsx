/** Grids of images, and one of them large. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

/** Images shown at first; a button shows the rest. */
const FIRST_IMAGES = 48;

export interface ImageGridProps {
  /** What is shown, in its order: images by their places in the page's data. */
  readonly images: readonly number[];
  readonly nameOf: (image: number) => string;
  readonly pictureOf: (image: number) => ComponentChildren;
  readonly captionOf: (image: number) => ComponentChildren;
  readonly onOpen: (image: number) => void;
  /** Two pictures beside each other in every cell. */
  readonly wide?: boolean;
  readonly empty: string;
}

export function ImageGrid(props: ImageGridProps) {
  const { images, nameOf, pictureOf, captionOf, onOpen, wide = false, empty } = props;
  const [all, setAll] = useState(false);
  const shown = all ? images : images.slice(0, FIRST_IMAGES);
  if (images.length === 0) return <p class="empty">{empty}</p>;
  return (
    <>
      <ul class={wide ? 'grid wide' : 'grid'}>
        {shown.map((image) => (
          <li key={image}>
            <figure>
              <button
                type="button"
                class="open"
                onClick={() => onOpen(image)}
                aria-label={`Enlarge: ${nameOf(image)}`}
              >
                {pictureOf(image)}
              </button>
              <figcaption>{captionOf(image)}</figcaption>
            </figure>
          </li>
        ))}
      </ul>
      {shown.length < images.length && (
        <button type="button" onClick={() => setAll(true)}>
          Show all {images.length}
        </button>
      )}
    </>
  );
}

export interface LightboxProps {
  readonly label: string;
  readonly picture: ComponentChildren;
  /** What keys do, by their names; the image before and the one after are up and down. */
  readonly keys: Readonly<Record<string, () => void>>;
  /** The image shown, and those before and after it. */
  readonly image: number;
  readonly order: readonly number[];
  readonly onOpen: (image: number) => void;
  readonly onClose: () => void;
  /** Beside the picture, above the buttons. */
  readonly about: ComponentChildren;
  /** Before the buttons that every lightbox has. */
  readonly buttons?: ComponentChildren;
  readonly hint: string;
}

export function Lightbox(props: LightboxProps) {
  const { label, picture, keys, image, order, onOpen, onClose, about, buttons, hint } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const place = order.indexOf(image);
  const next = (by: number) => {
    if (order[place + by] !== undefined) onOpen(order[place + by]!);
  };
  const onKey = (event: KeyboardEvent) => {
    const actions: Record<string, () => void> = {
      ArrowUp: () => next(-1),
      ArrowDown: () => next(1),
      ...keys,
    };
    const action = actions[event.key];
    // Buttons keep the space bar, and sliders their arrows.
    if (!action || (event.target as Element).closest(event.key === ' ' ? 'button' : 'input')) return;
    event.preventDefault();
    action();
  };
  return (
    <dialog ref={dialog} class="enlarged" aria-label={label} onClose={onClose} onKeyDown={onKey}>
      <div class="picture">{picture}</div>
      <div class="about">
        {about}
        <div class="row">
          {buttons}
          <button type="button" onClick={() => next(-1)} disabled={place <= 0}>
            Previous
          </button>
          <button type="button" onClick={() => next(1)} disabled={place >= order.length - 1}>
            Next
          </button>
          <button type="button" onClick={() => dialog.current?.close()}>
            Close
          </button>
        </div>
        <p class="hint">{hint}</p>
      </div>
    </dialog>
  );
}

/** A field that searches prompts; `/` goes there from anywhere on the page. */
export function Search({ value, onSearch }: { value: string; onSearch: (text: string) => void }) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== '/' || (event.target as Element | null)?.closest('input[type=search], dialog'))
        return;
      event.preventDefault();
      field.current?.focus();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
  return (
    <label>
      Search prompts{' '}
      <input
        ref={field}
        type="search"
        value={value}
        onInput={(event) => onSearch(event.currentTarget.value)}
      />
    </label>
  );
}

/** Whether a text holds every word of a search. */
export function holdsWords(text: string, query: string): boolean {
  const lower = text.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => lower.includes(word));
}
