"""The look of the platform's plain pages, and what they may load: nothing, but for the script of `/docs`."""

from __future__ import annotations

import base64
import hashlib
from html import escape

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1a1f2b}"
    "h2{border-bottom:1px solid #d5d9e2;margin-top:2.5rem}h3,h4{margin:1.2rem 0 .3rem}h4{font-size:1rem}"
    "a{color:#0b57a4}code,pre,textarea,input,select{font:14px/1.4 ui-monospace,monospace}"
    "code,pre{background:#f2f4f8;padding:.1em .3em;border-radius:3px}"
    "pre{padding:.6rem .8rem;overflow:auto;max-height:24rem}table{border-collapse:collapse}"
    "td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}"
    "td:first-child,th:first-child{min-width:7rem}.method{font-weight:700;color:#0b5c3b}"
    "summary{padding:.35rem 0;cursor:pointer}details[open]{border-left:3px solid #d5d9e2;padding-left:1rem}"
    "details,h2,h3{scroll-margin-top:4.5rem}.key{position:sticky;top:0;background:#fff;padding:.6rem 0;z-index:1}"
    ".key input{width:min(34rem,90%)}form label{display:block;margin:.4rem 0}form span{display:inline-block;"
    "min-width:11rem}textarea{width:100%;box-sizing:border-box;min-height:9rem}button{font:inherit;padding:.2rem .9rem}"
    "input,select{max-width:100%;box-sizing:border-box}.wide{overflow-x:auto}"
    "@media(prefers-color-scheme:dark){body,.key{background:#12151c;color:#e4e7ee}code,pre{background:#1d222d}"
    "h2,details[open]{border-color:#343b4a}.method{color:#6fd3a8}a{color:#8ab4ff}"
    "textarea,input,select,button{background:#1d222d;color:#e4e7ee;border:1px solid #4a5366}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"
DOCS_POLICY = f"{PAGE_POLICY}; script-src 'self'; connect-src 'self'; form-action 'none'"


def write_page(title: str, body: str, script: str | None = None) -> str:
    """Write a whole page. `script` is the path of the only script that it loads."""
    loaded = f'<script defer src="{script}"></script>' if script is not None else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style>{loaded}</head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
