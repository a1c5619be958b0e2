"""What routes may look at: harmless headers and the caller's tags, and nothing that could hold a credential."""

import pytest
from navplane.errors import BadTags
from navplane.gateway.attributes import attributes_of


def test_listed_headers_and_tags_are_named_and_nothing_else_is() -> None:
    headers = (
        (b"authorization", b"Bearer np_secret"),
        (b"user-agent", b"OpenAI/Python 2.0"),
        (b"user-agent", b"second"),
        (b"x-custom", b"anything"),
        (b"x-navplane-tags", b"team=search, env=prod"),
        (b"x-navplane-tags", b"note=a=b c"),
    )
    assert attributes_of(headers) == {
        "header.user-agent": "OpenAI/Python 2.0",
        "tag.team": "search",
        "tag.env": "prod",
        "tag.note": "a=b c",
    }


def test_long_header_is_cut_and_bytes_are_taken_as_they_are() -> None:
    assert attributes_of(((b"x-title", b"\xe9" * 500),)) == {"header.x-title": "\xe9" * 200}


@pytest.mark.parametrize("value", [b"", b" , ,"])
def test_no_tags_are_no_error(value: bytes) -> None:
    assert attributes_of(((b"x-navplane-tags", value),)) == {}


@pytest.mark.parametrize(
    "value",
    [
        b"team",
        b"=search",
        b"team=",
        b"Team=search",
        b"team=search,team=ads",
        b"team=s\xe9arch",
        b"team=a\tb",
        b"a" * 65 + b"=1",
        b"team=" + b"x" * 201,
        b",".join(b"k%d=1" % number for number in range(21)),
    ],
)
def test_tags_that_could_be_misread_are_refused(value: bytes) -> None:
    with pytest.raises(BadTags, match="x-navplane-tags"):
        attributes_of(((b"x-navplane-tags", value),))
