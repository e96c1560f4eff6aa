// For work on the pages: node dev.mjs [API] [PORT]. Builds at each change and passes all else on to a running platform.
// The pages come with the same content security policy as the API's own. Sign in with a key, as ever.
import { readFileSync, watch } from "node:fs";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { buildPages } from "./build.mjs";

const api = new URL(process.argv[2] ?? "http://127.0.0.1:8000");
const port = Number(process.argv[3] ?? 5173);
const folder = join(import.meta.dirname, "node_modules", ".pages");
const types = { js: "text/javascript", css: "text/css", html: "text/html; charset=utf-8" };
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
  "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const isPage = (path) => !/^\/(v1|health|docs|openapi|problems|metrics|rta\.js)/.test(path);

function answerFile(path, response) {
  try {
    const name = path.startsWith("/assets/") ? path.slice(1) : "index.html";
    const content = readFileSync(join(folder, name));
    response.writeHead(200, { "content-type": types[name.split(".").pop()], "content-security-policy": policy });
    response.end(content);
  } catch {
    response.writeHead(404).end();
  }
}

const toApi = (headers) => ({ ...headers, host: api.host, ...(headers.origin ? { origin: api.origin } : {}) });

createServer((incoming, response) => {
  const path = new URL(incoming.url, "http://page").pathname;
  if (isPage(path)) return answerFile(path, response);
  const options = { host: api.hostname, port: api.port, path: incoming.url, method: incoming.method };
  const passed = request({ ...options, headers: toApi(incoming.headers) }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  passed.on("error", () => response.writeHead(502).end());
  return incoming.pipe(passed);
})
  .on("upgrade", (incoming, socket) => {
    const upstream = connect(Number(api.port), api.hostname, () => {
      const headers = Object.entries(toApi(incoming.headers)).map(([name, value]) => `${name}: ${value}`);
      upstream.write(`${incoming.method} ${incoming.url} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`);
      upstream.pipe(socket).pipe(upstream);
    });
    for (const end of [socket, upstream]) end.on("error", () => [socket, upstream].map((one) => one.destroy()));
  })
  .listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port} on ${api.href}`));

const rebuild = () => buildPages(folder, { minify: false }).catch((error) => console.log(error.message));
await rebuild();
let timer;
watch(join(import.meta.dirname, "src"), { recursive: true }, () => {
  clearTimeout(timer);
  timer = setTimeout(rebuild, 100);
});
