// Builds rta.js: node build.mjs FILE. The same sources and the same esbuild give the same bytes.
import { readFileSync } from "node:fs";
import { build } from "esbuild";

const { version } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));

await build({
  absWorkingDir: import.meta.dirname ?? new URL(".", import.meta.url).pathname,
  entryPoints: ["src/rta.ts"],
  outfile: process.argv[2],
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2021"],
  charset: "utf8",
  legalComments: "none",
  define: { VERSION: JSON.stringify(version) },
});
