// What was sent, as text for people. Pure.

const TOKENS = /"(?:[^"\\]|\\.)*"|\{\s*\}|\[\s*\]|[{}[\],:]|[^\s{}[\],:"]+/g;
const INDENTS_MAX = 32;

/** JSON with indents. Its texts and numbers stay as they were written. Anything else comes back as it is. */
export function indentJson(raw: string): string {
  try {
    JSON.parse(raw);
  } catch {
    return raw;
  }
  let depth = 0;
  const lineEnd = (): string => `\n${"  ".repeat(Math.min(depth, INDENTS_MAX))}`;
  const indent = (token: string): string => {
    if (token === "{" || token === "[") {
      depth += 1;
      return token + lineEnd();
    }
    if (token === "}" || token === "]") {
      depth -= 1;
      return lineEnd() + token;
    }
    if (token === ",") return `,${lineEnd()}`;
    if (token === ":") return ": ";
    return token.startsWith('"') ? token : token.replace(/\s/g, "");
  };
  return (raw.match(TOKENS) ?? []).map(indent).join("");
}
