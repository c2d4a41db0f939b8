"""Credentials for the requests that Schemathesis makes: whichever of them an operation takes, fresh ones each time."""

import json
import os
import subprocess
import time

import schemathesis

BINARY = os.environ["FUZZ_BINARY"]
DATA = os.environ["FUZZ_DATA"]
API_KEY = os.environ["FUZZ_API_KEY"]
# Access tokens are good for five minutes.
REFRESH_SECONDS = 200
# Whom operations are for that take only people: not the platform owner, and not an API key.
PEOPLE = ("/auth/", "/licenses/redeem", "/licenses/transfers/")
# What a right request may be answered with, beside success: not there, not now, not like this. 400 is what a wrong one gets.
ACCEPTED = {303, 304, 401, 403, 404, 409, 412, 422}
# Values that only this server can make, and only for one place: their form is in the document, which ones are good is not.
OPAQUE_MEMBERS = {"?cursor", "/cursor"}
# A license key that came in an earlier answer, put into an address, is refused whatever member it stands in.
OPAQUE_CODES = {"KEY_IN_URL", "MALFORMED_KEY", "POSITION_UNKNOWN", "SIGN_IN_REFUSED", "STATE_MISMATCH"}
# A rule between members of a query: one device, or all of them.
OPAQUE_MEMBERS |= {"?all", "?deviceId"}
# What a file of rows must hold, no schema of a text says.
FILES = {"/admin/licenses/import"}


def is_understood(case, problem):
    """Whether a refusal is of something that a document of this kind cannot say."""
    if case.operation.path in FILES or problem.get("code") in OPAQUE_CODES:
        return True
    errors = problem.get("errors", [])
    # To JSON Schema 124.0 is an integer; this API, as most programs, takes 124 only.
    return bool(errors) and all(
        error["pointer"] in OPAQUE_MEMBERS
        or "floating point" in error["detail"]
        # What an answer shows in the place of somebody who was erased is no id.
        or "`erased`" in error["detail"]
        # Two credentials, where a check adds one to the one that is there.
        or error["pointer"] == "X-API-Key"
        # Free JSON may hold anything but U+0000, at any depth.
        or (error["code"] == "NUL_CHARACTER" and error["pointer"].startswith(("/metadata/", "/privateMetadata/")))
        for error in errors
    )


_tokens: dict[str, tuple[float, str]] = {}


def token(*arguments: str) -> str:
    """An access token made by the program's own command line."""
    name = " ".join(arguments)
    made, text = _tokens.get(name, (0.0, ""))
    if time.monotonic() - made > REFRESH_SECONDS or not text:
        command = [BINARY, "admin", "token", *arguments, "--data-dir", DATA, "--json"]
        text = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)["accessToken"]
        _tokens[name] = (time.monotonic(), text)
    return text


@schemathesis.auth(refresh_interval=None)
class Credential:
    def get(self, case, context):
        path = case.operation.path
        security = case.operation.definition.raw.get("security")
        if security == []:
            return None
        if security is not None and any("apiKey" in one for one in security) and len(security) < 3:
            return ("X-API-Key", API_KEY)
        if path.startswith(PEOPLE):
            return ("Authorization", "Bearer " + token("--user", os.environ["FUZZ_MEMBER"]))
        return ("Authorization", "Bearer " + token())

    def set(self, case, data, context):
        if data is not None:
            name, value = data
            case.headers = {**(case.headers or {}), name: value}


@schemathesis.check
def right_requests_are_accepted(context, response, case):
    """What the document permits is not refused as malformed: `positive_data_acceptance`, with opaque values understood."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code < 300 or response.status_code in ACCEPTED:
        return
    problem = response.json() if response.status_code == 400 else {}
    assert is_understood(case, problem), f"the document permits this request, and it is answered {response.status_code}"
