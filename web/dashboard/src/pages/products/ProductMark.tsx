// A product's initials on a colour of its own. Its picture is elsewhere, and nothing is loaded from elsewhere.
export function ProductMark({ name }: { name: string }) {
  const words = name.split(/[\s-]+/).filter((word) => /^\p{L}/u.test(word));
  const initials = words.slice(0, 2).map((word) => word.charAt(0).toUpperCase()).join("") || "#";
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 997;
  return (
    <span class={`mark m${sum % 8}`} aria-hidden="true">
      {initials}
    </span>
  );
}
