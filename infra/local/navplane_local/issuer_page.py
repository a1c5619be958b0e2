"""How the development issuer looks: a page that asks who you want to be, and one that says why not."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape

from navplane_local.issuer_codes import DevelopmentUser
from navplane_local.issuer_form import Answer

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f3f1ec; --card: #fff; --text: #24201a; --soft: #6a6155; --line: #dcd6cb; --accent: #8a4b08;
}
@media (prefers-color-scheme: dark) {
  :root { --ground: #171512; --card: #211e1a; --text: #ece7df; --soft: #aba193; --line: #3d3831; --accent: #e5a663; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 1rem/1.5 system-ui, "DejaVu Sans", sans-serif; }
main {
  max-width: 28rem; margin: 3rem auto; padding: 1.5rem;
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
}
h1 { margin: 0 0 .5rem; font-size: 1.4rem; } h2 { margin: 1.5rem 0 .5rem; font-size: 1rem; }
p { margin: 0 0 1rem; color: var(--soft); }
form { display: grid; gap: .6rem; }
label { display: grid; gap: .2rem; }
button, input {
  width: 100%; padding: .5rem .8rem;
  font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: .4rem;
}
button { cursor: pointer; text-align: left; } button:hover { border-color: var(--accent); }
button span { display: block; color: var(--soft); font-size: .85rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
code { font-size: .9em; }
"""
HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def sign_in(users: Sequence[DevelopmentUser], *, action: str, client: str, returns_to: str) -> Answer:
    """`returns_to` is the origin that the form leads to in the end: browsers hold a form to the policy all the way."""
    known = "".join(
        f'<button name="subject" value="{escape(user.subject)}">{escape(user.name)}'
        f"<span>{escape(user.subject)} · {escape(user.email)}</span></button>"
        for user in users
    )
    body = f"""<h1>Who are you today?</h1>
<p>The local development issuer lets you in as anybody, for <code>{escape(client)}</code>. It runs on your machine only.</p>
<form method="post" action="{escape(action)}">{known}</form>
<h2>Somebody else</h2>
<form method="post" action="{escape(action)}">
<label>Subject <input name="subject" required maxlength="255" placeholder="local|mia" autocomplete="off"></label>
<label>Name <input name="name" maxlength="200" autocomplete="off"></label>
<label>E-mail <input name="email" type="email" maxlength="200" autocomplete="off"></label>
<button>Sign in</button>
</form>"""
    return _page("Sign in", body, status=200, form_action=f"'self' {returns_to}")


def refusal(reason: str) -> Answer:
    return _page(
        "Not possible", f"<h1>That is no request to sign in</h1>\n<p>{escape(reason)}</p>", status=400, form_action="'none'"
    )


def _page(title: str, body: str, *, status: int, form_action: str) -> Answer:
    html = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · development issuer</title><style>{STYLE}</style></head>
<body><main>{body}</main></body></html>
"""
    policy = (
        f"default-src 'none'; style-src 'sha256-{HASH}'; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )
    return Answer(
        status=status,
        body=html.encode(),
        headers={
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
        },
    )
