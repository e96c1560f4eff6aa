"""Write the page about the API from the OpenAPI document.   Pure.

Everything is there without a script. `try.js` adds a form to each operation, by its `data-id`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from html import escape
from typing import Any

from rtaplatform.serve.docs_page.page_style import write_page
from rtaplatform.serve.docs_page.sample_values import SampleMaker
from rtaplatform.serve.docs_page.type_words import say_type, say_values
from rtaplatform.serve.openapi.openapi_pieces import Docs

SCRIPT_PATH = "/docs/try.js"
SAMPLE_CHARACTERS_MAX = 4_000
_KEY_FIELD = (
    '<p class="key" hidden><label>Key <input type="password" id="key" autocomplete="off" spellcheck="false"'
    ' placeholder="A key of your project, for trying"></label> <small>It stays in this page.</small></p>'
)


def write_docs(document: Docs) -> str:
    """Write the whole page."""
    info, schemas = document["info"], document["components"]["schemas"]
    samples, by_tag = SampleMaker(schemas), defaultdict[str, list[str]](list)
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append(_write_operation(path, method, operation, samples))
    links = " · ".join(f'<a href="#{_make_anchor(tag)}">{escape(tag)}</a>' for tag in [*by_tag, "schemas"])
    parts = [
        f'<p>{_say(info.get("description"))} <a href="/openapi.json">openapi.json</a> says the same to programs.</p>',
        f"<nav>{links}</nav>",
        _KEY_FIELD,
        *(
            f'<h2 id="{_make_anchor(tag)}">{escape(tag.capitalize())}</h2>{"".join(operations)}'
            for tag, operations in by_tag.items()
        ),
        '<h2 id="schemas">Schemas</h2>',
        *(_write_schema(name, schema) for name, schema in sorted(schemas.items())),
    ]
    return write_page(f"{info['title']} {info['version']}", "".join(parts), SCRIPT_PATH)


def _write_operation(path: str, method: str, operation: Docs, samples: SampleMaker) -> str:
    name, scope = escape(operation["operationId"]), operation.get("x-scope")
    return (
        f'<details class="operation" id="{name}" data-method="{escape(method)}" data-path="{escape(path)}">'
        f'<summary><span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code>'
        f" {escape(operation.get('summary') or '')}</summary><p>{_say(operation.get('description'))}</p>"
        + (f"<p>It needs the scope <code>{escape(scope)}</code>.</p>" if scope else "<p>It needs no key.</p>")
        + _write_parameters(operation.get("parameters", ()))
        + _write_body(operation.get("requestBody"), samples)
        + "".join(_write_answer(status, answer, samples) for status, answer in _list_answers(operation))
        + "</details>"
    )


def _list_answers(operation: Docs) -> list[tuple[str, Docs]]:
    """The answers by status, `default` last."""
    return sorted(operation["responses"].items())


def _write_parameters(parameters: Any) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(entry['name'])}</code></td><td>{escape(entry['in'])}</td>"
        f"<td>{say_type(entry['schema'])}</td><td>{'needed' if entry.get('required') else ''}</td>"
        f"<td>{_say(entry.get('description'))}</td></tr>"
        for entry in parameters
    )
    return f'<h4>Parameters</h4><div class="wide" tabindex="0"><table>{rows}</table></div>' if rows else ""


def _write_body(body: Docs | None, samples: SampleMaker) -> str:
    if body is None:
        return ""
    kinds = "".join(
        f"<p><code>{escape(media)}</code>: {say_type(part['schema'])}. {_say(part['schema'].get('description'))}</p>"
        f'<pre class="body" tabindex="0" data-media="{escape(media)}">{_write_sample(part["schema"], samples)}</pre>'
        for media, part in body["content"].items()
    )
    return f"<h4>Body{'' if body.get('required') else ', which may be left out'}</h4>{kinds}"


def _write_answer(status: str, answer: Docs, samples: SampleMaker) -> str:
    if not status.startswith("2"):
        return f"<p><code>{escape(status)}</code> {_say(answer['description'])}</p>"
    kinds = "".join(
        f"<p><code>{escape(media)}</code>: {say_type(part['schema'])}</p>"
        + (f'<pre tabindex="0">{_write_sample(part["schema"], samples)}</pre>' if media.endswith("json") else "")
        for media, part in answer.get("content", {}).items()
    )
    return f"<h4>Answer <code>{escape(status)}</code> {_say(answer['description'])}</h4>{kinds}"


def _write_sample(schema: Docs, samples: SampleMaker) -> str:
    sample = samples.sample(schema)
    text = sample if isinstance(sample, str) else json.dumps(sample, indent=2, ensure_ascii=False)
    return escape(text if len(text) <= SAMPLE_CHARACTERS_MAX else f"{text[:SAMPLE_CHARACTERS_MAX]}\n…")


def _write_schema(name: str, schema: Docs) -> str:
    required_names, fields = schema.get("required", ()), schema.get("properties", {})
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{say_type(part)}</td>"
        f"<td>{'needed' if field in required_names else ''}</td>"
        f"<td>{_say(part.get('description') if isinstance(part, dict) else None)}</td></tr>"
        for field, part in fields.items()
    )
    table = f'<div class="wide" tabindex="0"><table>{rows}</table></div>' if rows else ""
    if not rows:
        table = f"<p>{say_values(schema['enum']) if 'enum' in schema else say_type(schema)}</p>"
    return f'<h3 id="schema-{escape(name)}">{escape(name)}</h3><p>{_say(schema.get("description"))}</p>{table}'


def _say(text: str | None) -> str:
    """Plain text of the document as HTML: what stands between backquotes is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text or ""))


def _make_anchor(tag: str) -> str:
    return escape(tag.replace(" ", "-"))
