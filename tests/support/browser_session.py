"""A person at a browser, as far as HTTP shows it: cookies, the issuer's sign-in page, and what stands on a page."""

import re
import secrets
from html import unescape
from html.parser import HTMLParser
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx2
from navplane.console.identity_provider import challenge


class Page(HTMLParser):
    """`elements` are (tag, attributes) in order; `text` is what is read; `options` maps a select's name to its choices."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.facts: dict[str, str] = {}
        self.options: dict[str, list[tuple[str, bool]]] = {}
        self._words: list[str] = []
        self._select, self._term, self._open = "", "", ""
        self.feed(html)
        self.text = " ".join("".join(self._words).split())

    @classmethod
    def of(cls, response: httpx2.Response) -> Self:
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        return cls(response.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self._open = tag if tag in ("dt", "dd") else self._open
        if tag == "dt":
            self._term = ""
        if tag == "select":
            self._select = attributes["name"] or ""
            self.options[self._select] = []
        if tag == "option":
            self.options[self._select].append(("", "selected" in attributes))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._open:
            self._open = ""
        self._select = "" if tag == "select" else self._select

    def handle_data(self, data: str) -> None:
        self._words.append(data)
        if self._select and data.strip():
            name, selected = self.options[self._select][-1]
            self.options[self._select][-1] = (name + data.strip(), selected)
        if self._open == "dt":
            self._term += data.strip()
        if self._open == "dd":
            self.facts[self._term] = " ".join((self.facts.get(self._term, "") + data).split())


class Browser:
    """`client` keeps the cookies and follows nothing by itself."""

    def __init__(self, client: httpx2.Client, console_url: str) -> None:
        self.client, self.url = client, console_url

    def open(self, path: str = "", **query: str) -> httpx2.Response:
        return self.client.get(self.url + path, params=query)

    def ask_to_sign_in(self, **query: str) -> str:
        """The address at the issuer that the console sends to."""
        response = self.open("/sign-in", **query)
        assert response.status_code == 303, response.text
        return response.headers["location"]

    def choose(self, issuer_page: str, **user: str) -> str:
        """Signs in on the issuer's page; returns the address that it leads back to."""
        return chosen(issuer_page, **user)

    def sign_in(self, subject: str, **known: str) -> httpx2.Response:
        """All the way; returns the first page."""
        back = self.client.get(self.choose(self.ask_to_sign_in(), subject=subject, **known))
        assert back.status_code == 303, back.text
        return self.client.get(urljoin(self.url, back.headers["location"]))

    def sign_out(self, **headers: Any) -> httpx2.Response:
        return self.client.post(self.url + "/sign-out", headers=headers)


def chosen(issuer_page: str, **user: str) -> str:
    """What `Browser.choose` does, for whichever client asked."""
    with httpx2.Client(trust_env=False, timeout=30) as issuer:
        page = issuer.get(issuer_page)
        assert page.status_code == 200, page.text
        found = re.search(r'action="([^"]+)"', page.text)
        assert found is not None
        answer = issuer.post(urljoin(issuer_page, unescape(found[1])), data=user)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def token_of(issuer_url: str, **user: str) -> str:
    """An access token for the admin API, by the authorization-code flow of a client of the test's own."""
    verifier, back = secrets.token_urlsafe(48), "http://127.0.0.1:9/back"
    asked = {
        "response_type": "code", "client_id": "a-test", "redirect_uri": back, "scope": "openid", "state": "s",
        "code_challenge": challenge(verifier), "code_challenge_method": "S256",
    }  # fmt: skip
    query = parse_qs(urlsplit(chosen(f"{issuer_url}/authorize?{urlencode(asked)}", **user)).query)
    form = {"grant_type": "authorization_code", "code": query["code"][0], "client_id": "a-test", "redirect_uri": back}
    answer = httpx2.post(f"{issuer_url}/token", data={**form, "code_verifier": verifier}, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])
