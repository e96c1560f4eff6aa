// Builds the pages: node build.mjs FOLDER. The same sources and the same esbuild give the same bytes.
// The names of the files contain a hash of their content; built.json says what was built from what.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, version } from "esbuild";

const HERE = import.meta.dirname ?? new URL(".", import.meta.url).pathname;
const INPUTS = ["build.mjs", "index.html", "package-lock.json", "package.json", "tsconfig.json"];
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? filesBelow(join(folder, entry.name)) : [join(folder, entry.name)]))
    .sort();
}

export function hashOfInputs() {
  const paths = [...INPUTS.map((name) => join(HERE, name)), ...filesBelow(join(HERE, "src"))];
  const names = paths.map((path) => relative(HERE, path)).sort();
  const hash = createHash("sha256");
  for (const name of names) hash.update(`${name}\0${sha256(readFileSync(join(HERE, name)))}\n`);
  return hash.digest("hex");
}

export async function buildPages(folder, { minify = true } = {}) {
  const { metafile, outputFiles } = await build({
    absWorkingDir: HERE,
    entryPoints: { early: "src/early.ts", app: "src/main.tsx", style: "src/style/all.css" },
    outdir: "assets",
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    minify,
    jsx: "automatic",
    jsxImportSource: "preact",
    target: ["chrome123", "firefox120", "safari17.5"],
    charset: "utf8",
    legalComments: "none",
    metafile: true,
    write: false,
  });
  rmSync(join(folder, "assets"), { recursive: true, force: true });
  mkdirSync(join(folder, "assets"), { recursive: true });
  for (const file of outputFiles) writeFileSync(join(folder, "assets", file.path.split("/").pop()), file.contents);
  writeFileSync(join(folder, "index.html"), shellOf(metafile));
  writeFileSync(join(folder, "built.json"), `${JSON.stringify(report(folder, metafile), null, 1)}\n`);
}

const nameOf = (path) => path.split("/").pop();
const entryOf = (metafile, source) =>
  Object.entries(metafile.outputs).find(([, output]) => output.entryPoint === source);

/** What the first page needs: what asks early, the entry, and what that imports at once. */
function firstScripts(metafile) {
  const [early] = entryOf(metafile, "src/early.ts");
  const [app, output] = entryOf(metafile, "src/main.tsx");
  return [early, app, ...output.imports.filter(({ kind }) => kind === "import-statement").map(({ path }) => path)].map(nameOf);
}

function shellOf(metafile) {
  const [early, app, ...others] = firstScripts(metafile);
  const style = nameOf(entryOf(metafile, "src/style/all.css")[0]);
  const preloads = others.map((name) => `<link rel="modulepreload" href="/assets/${name}">\n`).join("");
  return readFileSync(join(HERE, "index.html"), "utf8")
    .replace("<!-- early -->", `<script type="module" async src="/assets/${early}"></script>`)
    .replace("<!-- style -->", `<link rel="stylesheet" href="/assets/${style}">`)
    .replace("<!-- scripts -->", `${preloads}<script type="module" src="/assets/${app}"></script>`);
}

function report(folder, metafile) {
  const style = nameOf(entryOf(metafile, "src/style/all.css")[0]);
  const files = Object.fromEntries(
    filesBelow(folder)
      .map((path) => relative(folder, path))
      .filter((name) => name !== "built.json")
      .map((name) => {
        const bytes = readFileSync(join(folder, name));
        return [name, { sha256: sha256(bytes), bytes: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length }];
      }),
  );
  const first = ["index.html", ...[style, ...firstScripts(metafile)].map((name) => `assets/${name}`)];
  return { inputs: hashOfInputs(), esbuild: version, first_load: first, files };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPages(process.argv[2]);
