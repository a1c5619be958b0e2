"""The development issuer's authorization and token endpoints (OpenID Connect Core, 3.1; RFC 7636): whoever asks is let in as
whomever they name. Only pages on this machine are answered."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from navplane.config import require_loopback
from navplane.errors import ConfigurationError

from navplane_local import issuer_page
from navplane_local.issuer_codes import Codes, DevelopmentUser, Grant
from navplane_local.issuer_form import Answer, fields_of

AUTHORIZE_PATH = "/authorize"
TOKEN_PATH = "/token"  # noqa: S105 - a path
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
USERS = (
    DevelopmentUser(subject="local|admin", name="Ada Admin", email="ada@navplane.test"),
    DevelopmentUser(subject="local|olive", name="Olive Owner", email="olive@navplane.test"),
    DevelopmentUser(subject="local|otto", name="Otto Operator", email="otto@navplane.test"),
)


class Refused(Exception):
    """What is wrong with a request to sign in, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request to sign in whose parameters are in order."""

    client_id: str
    redirect_uri: str
    challenge: str
    audience: str
    state: str
    nonce: str | None

    @property
    def origin(self) -> str:
        scheme, _, rest = self.redirect_uri.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}"


class Endpoints:
    """`tokens` makes the token endpoint's answer to a good code."""

    def __init__(self, url: str, codes: Codes, tokens: Callable[[Grant], Mapping[str, object]]) -> None:
        self._url, self._codes, self._tokens = url, codes, tokens

    def page(self, query: str) -> Answer:
        """The sign-in page."""
        try:
            asked = _asked(fields_of(query))
        except Refused as exc:
            return issuer_page.refusal(str(exc))
        return issuer_page.sign_in(USERS, action=f"{AUTHORIZE_PATH}?{query}", client=asked.client_id, returns_to=asked.origin)

    def chosen(self, query: str, form: Mapping[str, str], *, origin: bytes | None) -> Answer:
        """Back to who asked, with a code for the user of the form."""
        try:
            if origin is not None and origin.decode("latin-1") != self._url:
                raise Refused("The form was not sent from this page.")
            asked, user = _asked(fields_of(query)), _user(form)
        except Refused as exc:
            return issuer_page.refusal(str(exc))
        code = self._codes.issue(
            Grant(
                user=user,
                client_id=asked.client_id,
                redirect_uri=asked.redirect_uri,
                challenge=asked.challenge,
                audience=asked.audience,
                nonce=asked.nonce,
            )
        )
        answer = urlencode({"code": code, "state": asked.state, "iss": self._url})
        return Answer(status=303, headers={"location": f"{asked.redirect_uri}?{answer}"})

    def redeemed(self, form: Mapping[str, str]) -> Answer:
        if form.get("grant_type") != "authorization_code":
            return Answer.of_json({"error": "unsupported_grant_type"}, status=400)
        grant = self._codes.redeem(
            form.get("code", ""),
            client_id=form.get("client_id", ""),
            redirect_uri=form.get("redirect_uri", ""),
            verifier=form.get("code_verifier", ""),
        )
        if grant is None:
            return Answer.of_json({"error": "invalid_grant"}, status=400)
        return Answer.of_json(self._tokens(grant))


def _asked(query: Mapping[str, str]) -> Asked:
    """Raise Refused. Nobody is sent anywhere before the address is known to be one on this machine."""
    redirect_uri = query.get("redirect_uri", "")
    try:
        require_loopback("redirect_uri", redirect_uri)
    except ConfigurationError as exc:
        raise Refused(exc.message) from exc
    if query.get("response_type") != "code" or "openid" not in query.get("scope", "").split():
        raise Refused("This issuer answers response_type=code with the scope openid, and nothing else.")
    if query.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(query.get("code_challenge", "")):
        raise Refused("This issuer wants PKCE: a code_challenge by S256.")
    if not query.get("client_id") or not query.get("state"):
        raise Refused("client_id and state are missing.")
    return Asked(
        client_id=query["client_id"],
        redirect_uri=redirect_uri,
        challenge=query["code_challenge"],
        audience=query.get("audience") or "navplane",
        state=query["state"],
        nonce=query.get("nonce"),
    )


def _user(form: Mapping[str, str]) -> DevelopmentUser:
    subject = form.get("subject", "").strip()
    if not 0 < len(subject) <= 255 or not subject.isprintable():
        raise Refused("Name a user: a subject of 1 to 255 printable characters.")
    known = next((user for user in USERS if user.subject == subject), None)
    if known and not (form.get("name") or form.get("email")):
        return known
    return DevelopmentUser(subject=subject, name=form.get("name", "").strip()[:200], email=form.get("email", "").strip()[:200])
