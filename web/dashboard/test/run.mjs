// Bundles the tests (TypeScript) and runs them: node test/run.mjs. Node 20 does not strip types by itself.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;
// What the hub sends, and what Explore copies: shared with the Python tests.
const golden = process.env.RTA_GOLDEN ?? join(here, "..", "..", "..", "tests", "golden");
const made = mkdtempSync(join(here, "..", "node_modules", ".test-"));
try {
  await build({
    absWorkingDir: here,
    entryPoints: readdirSync(here).filter((name) => name.endsWith(".test.ts")),
    outdir: made,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    packages: "external",
    define: { GOLDEN: JSON.stringify(golden) },
  });
  const files = readdirSync(made).map((name) => join(made, name));
  const { status } = spawnSync(process.execPath, ["--test", "--test-reporter=tap", ...files], { stdio: "inherit" });
  process.exitCode = status ?? 1;
} finally {
  rmSync(made, { recursive: true, force: true });
}
