/** Controls that several parts of the page use. */
import type { ComponentChildren } from 'preact';

export function Slider({
  label,
  value,
  max,
  text,
  onInput,
}: {
  label: string;
  value: number;
  max: number;
  text: string;
  onInput: (value: number) => void;
}) {
  return (
    <label class="slider">
      <span>{label}</span>
      <input
        type="range"
        min={0}
        max={Math.max(0, max)}
        step={1}
        value={value}
        disabled={max < 1}
        aria-valuetext={text}
        onInput={(event) => onInput(Number(event.currentTarget.value))}
      />
      <output>{text}</output>
    </label>
  );
}

/** One choice of a few, as a row of buttons. */
export function Segmented<T extends string>({
  label,
  options,
  value,
  onChange,
}: {
  label: string;
  options: Readonly<Record<T, string>>;
  value: T;
  onChange: (value: T) => void;
}) {
  return (
    <fieldset class="segmented" aria-label={label}>
      {(Object.entries(options) as [T, string][]).map(([key, text]) => (
        <button key={key} type="button" aria-pressed={key === value} onClick={() => onChange(key)}>
          {text}
        </button>
      ))}
    </fieldset>
  );
}

export function Panel({
  id,
  title,
  note,
  children,
}: {
  id: string;
  title: string;
  note?: string;
  children: ComponentChildren;
}) {
  return (
    <section id={id} aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>{title}</h2>
      {note && <p class="note">{note}</p>}
      {children}
    </section>
  );
}
