// A labelled choice: the browser's own, so keyboard, phone and screen reader know it.
interface SelectProps {
  label: string;
  value: string;
  options: { value: string; name: string; why?: string }[];
  choose: (value: string) => void;
  isLabelHidden?: boolean;
}

export function Select({ label, value, options, choose, isLabelHidden = false }: SelectProps) {
  return (
    <label class={`select ${isLabelHidden ? "bare" : ""}`}>
      <span class={isLabelHidden ? "hidden" : ""}>{label}</span>
      <select value={value} onChange={(event) => choose(event.currentTarget.value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value} disabled={Boolean(option.why)}>
            {option.name}
            {option.why ? ` (${option.why})` : ""}
          </option>
        ))}
      </select>
    </label>
  );
}

interface SegmentsProps {
  label: string;
  value: string;
  options: [string, string][];
  choose: (value: string) => void;
}

export function Segments({ label, value, options, choose }: SegmentsProps) {
  return (
    <div class="segments" role="group" aria-label={label}>
      {options.map(([one, name]) => (
        <button type="button" key={one} aria-pressed={one === value} onClick={() => choose(one)}>
          {name}
        </button>
      ))}
    </div>
  );
}
