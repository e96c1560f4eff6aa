// Lets a reader of /docs try a request: a form for each operation, made from /openapi.json when the operation is opened.
// Requests go to the host of the page, without its cookies. The key is read from its field when a request is sent.
"use strict";

(() => {
    const SHOWN_MAX = 200_000; // characters of an answer
    const VALUES_MAX = 60; // of an enumeration, in a list to choose from
    const EVENTS_SECONDS = 30; // how long a stream is read
    const keyField = document.getElementById("key");
    let reading = null;

    /** The description, read once; again after a failure. */
    function readDocument() {
        reading ??= fetch("/openapi.json", { credentials: "omit" })
            .then((answer) => answer.json())
            .catch((error) => {
                reading = null;
                throw error;
            });
        return reading;
    }

    /** An element with its properties and children. */
    function make(name, properties = {}, ...children) {
        const element = Object.assign(document.createElement(name), properties);
        element.append(...children);
        return element;
    }

    /** The values to choose from, if a schema has a few; a reference is followed. */
    function valuesOf(schema, schemas) {
        const whole = schema.$ref ? schemas[schema.$ref.split("/").pop()] : schema;
        return whole.enum && whole.enum.length <= VALUES_MAX ? whole.enum : null;
    }

    function makeField(parameter, schemas) {
        const values = valuesOf(parameter.schema, schemas);
        const example = [parameter.example ?? ""].flat().join(",");
        const input = values
            ? make("select", {}, ...["", ...values].map((value) => make("option", { value, textContent: value })))
            : make("input", { placeholder: example, autocomplete: "off", spellcheck: false });
        input.value = parameter.required ? example || (values ? values[0] : "") : "";
        input.dataset.name = parameter.name;
        input.dataset.place = parameter.in;
        const label = parameter.required ? `${parameter.name} *` : parameter.name;
        return make("label", {}, make("span", { textContent: label }), input);
    }

    function makeForm(section, operation, schemas) {
        const form = make("form", { className: "try" }, make("h4", { textContent: "Try it" }));
        for (const parameter of operation.parameters ?? []) form.append(makeField(parameter, schemas));
        const bodies = [...section.querySelectorAll("pre.body")];
        if (bodies.length) form.append(...makeBody(bodies));
        const send = make("button", { textContent: "Send", type: "submit" });
        const stop = make("button", { textContent: "Stop", type: "button", hidden: true });
        const output = make("output");
        form.append(make("p", {}, send, " ", stop), output);
        form.addEventListener("submit", (event) => {
            event.preventDefault();
            run(section, form, { send, stop, output });
        });
        return form;
    }

    function makeBody(bodies) {
        const area = make("textarea", { value: bodies[0].textContent, spellcheck: false });
        area.dataset.place = "body";
        area.setAttribute("aria-label", "Body");
        const options = bodies.map((body) => make("option", { textContent: body.dataset.media }));
        const media = make("select", {}, ...options);
        media.dataset.place = "media";
        media.addEventListener("change", () => {
            area.value = bodies[media.selectedIndex].textContent;
        });
        return [make("label", {}, make("span", { textContent: "Body as" }), media), area];
    }

    /** What the fields of a form say: the address, and what `fetch` needs beside it. */
    function readForm(section, form) {
        const headers = new Headers();
        const query = new URLSearchParams();
        let path = section.dataset.path;
        let body;
        for (const field of form.querySelectorAll("[data-place]")) {
            const { name, place } = field.dataset;
            if (field.value === "" && place !== "path") continue;
            if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(field.value));
            else if (place === "query") query.append(name, field.value);
            else if (place === "header") headers.set(name, field.value);
            else if (place === "media") headers.set("Content-Type", field.value);
            else body = field.value;
        }
        if (body === undefined) headers.delete("Content-Type");
        const search = query.size ? `?${query}` : "";
        return { url: path + search, method: section.dataset.method.toUpperCase(), headers, body };
    }

    /** The same request for a terminal. The key is named, not shown. */
    function writeCurl({ url, method, headers, body }, hasKey) {
        const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
        const words = ["curl", "-X", method, quote(location.origin + url)];
        for (const [name, value] of headers) words.push("-H", quote(`${name}: ${value}`));
        if (hasKey) words.push("-H", '"Authorization: Bearer $KEY"');
        if (body !== undefined) words.push("--data-binary", quote(body));
        return words.join(" ");
    }

    async function run(section, form, { send, stop, output }) {
        const request = readForm(section, form);
        const key = keyField.value.trim();
        const curl = make("pre", { tabIndex: 0, textContent: writeCurl(request, key !== "") });
        const status = make("p", { textContent: "…" });
        const text = make("pre", { className: "answer", tabIndex: 0 });
        output.replaceChildren(curl, status, text);
        if (key) request.headers.set("Authorization", `Bearer ${key}`);
        const ending = new AbortController();
        stop.onclick = () => ending.abort();
        send.disabled = true;
        const { url, ...rest } = request;
        try {
            const answer = await fetch(url, { ...rest, credentials: "omit", cache: "no-store", signal: ending.signal });
            const media = answer.headers.get("Content-Type") ?? "";
            status.textContent = `${answer.status} ${answer.statusText} ${media}`.trim();
            if (media.startsWith("text/event-stream")) {
                stop.hidden = false;
                setTimeout(() => ending.abort(), EVENTS_SECONDS * 1000);
                await showStream(answer, text);
            } else text.textContent = cut(prettify(await answer.text(), media));
        } catch (error) {
            if (error.name !== "AbortError") status.textContent = String(error);
        } finally {
            send.disabled = false;
            stop.hidden = true;
        }
    }

    async function showStream(answer, place) {
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (;;) {
            const { done, value } = await reader.read();
            if (done) return;
            place.textContent = cut(place.textContent + value);
        }
    }

    function prettify(text, media) {
        if (!media.includes("json")) return text;
        try {
            return JSON.stringify(JSON.parse(text), null, 2);
        } catch {
            return text;
        }
    }

    function cut(text) {
        return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}\n…` : text;
    }

    async function open(section) {
        if (!section.open || section.querySelector("form")) return;
        const whole = await readDocument();
        if (section.querySelector("form")) return;
        const operation = whole.paths[section.dataset.path][section.dataset.method];
        section.append(makeForm(section, operation, whole.components.schemas));
    }

    /** A link to an operation opens it. */
    function openLinked() {
        const linked = document.getElementById(decodeURIComponent(location.hash.slice(1)));
        if (linked?.matches("details")) linked.open = true;
    }

    keyField.closest(".key").hidden = false;
    for (const section of document.querySelectorAll("details.operation")) {
        section.addEventListener("toggle", () => open(section));
    }
    addEventListener("hashchange", openLinked);
    openLinked();
})();
