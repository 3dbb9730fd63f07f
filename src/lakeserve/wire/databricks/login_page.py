"""The page on which a person logs in for a command. It runs no script, loads nothing, and cannot be shown inside another page."""

from __future__ import annotations

from html import escape

from lakeserve.domain.oauth import LoginRequest

# The redirect after the form counts as a target of the form in some browsers, so the command's listener must be one.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self' http://localhost:* http://127.0.0.1:* http://[::1]:*"
)
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": _POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Log in to lakeserve</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 12vh auto; padding: 0 1rem; color: #1b1f23 }}
input, button {{ font: inherit; padding: .5rem .75rem; box-sizing: border-box; width: 100%; margin-top: .75rem }}
[role=alert] {{ color: #b00020 }}
</style>
</head>
<body>
<main>
{content}
</main>
</body>
</html>
"""

_FORM = """<h1>Log in to lakeserve</h1>
<p>A command on this machine ({client}, at {redirect}) asks to act as you. Enter one of your personal tokens; the command does not
get to see it.</p>
{trouble}
<form method="post" autocomplete="off">
{fields}
<label for="token">Personal token</label>
<input id="token" name="token" type="password" required autofocus>
<button type="submit">Log in</button>
</form>"""


def render_login(request: LoginRequest, trouble: str = "") -> bytes:
    values = {
        "response_type": "code",
        "client_id": request.client_id,
        "redirect_uri": request.redirect_uri,
        "scope": request.scope,
        "state": request.state,
        "code_challenge": request.challenge,
        "code_challenge_method": "S256",
    }
    fields = "\n".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in values.items())
    alert = f'<p role="alert">{escape(trouble)}</p>' if trouble else ""
    content = _FORM.format(
        client=escape(request.client_id), redirect=escape(request.redirect_uri), trouble=alert, fields=fields
    )
    return _PAGE.format(content=content).encode()


def render_refused(description: str) -> bytes:
    """Shown instead of going back: a place that may not be trusted gets no answer."""
    content = f'<h1>This login cannot go on</h1>\n<p role="alert">{escape(description)}</p>'
    return _PAGE.format(content=content).encode()
