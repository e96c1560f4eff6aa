"""The OpenAPI descriptions of the session routes.   Stage 6 of 6."""

from __future__ import annotations

from rtaplatform.catalog.entities.fields import NO_NUL
from rtaplatform.serve.catalog.catalog_pieces import SCOPE
from rtaplatform.serve.catalog.project_docs import PROJECT_SCHEMA
from rtaplatform.serve.openapi.openapi_pieces import (
    TEXT,
    Docs,
    make_body_schema,
    make_closed_object,
    make_json_content,
    name_schema,
)

_CREDENTIAL: Docs = {"type": "string", "pattern": NO_NUL}
_KEY = name_schema(
    "SignInByKey", make_closed_object({"key": {**_CREDENTIAL, "description": "A key with the scope `read`."}})
)
_START: Docs = {**_CREDENTIAL, "description": "The one-time code of a sign-in link."}
_CODE = name_schema("SignInByCode", make_closed_object({"start": _START}))
_SESSION_FIELDS: Docs = {
    "project": PROJECT_SCHEMA,
    "scopes": {"type": "array", "items": SCOPE},
    "key_id": TEXT,
    "expires_at": {"type": ["string", "null"], "format": "date-time"},
}
_SESSION = name_schema("Session", make_closed_object(_SESSION_FIELDS))
OPEN_SESSION: Docs = {
    "requestBody": make_body_schema({"application/json": {"anyOf": [_KEY, _CODE]}}),
    "responses": {"200": make_json_content("Signed in: `Set-Cookie` has the session.", _SESSION)},
}
READ_SESSION: Docs = {"responses": {"200": make_json_content("The session.", _SESSION)}}
END_SESSION: Docs = {"responses": {"204": {"description": "Signed out."}}}
MAKE_CODE: Docs = {
    "responses": {"200": make_json_content("The code.", name_schema("SignInCode", make_closed_object({"start": TEXT})))}
}
