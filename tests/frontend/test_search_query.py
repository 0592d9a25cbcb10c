"""What a search asks for, without any index."""

import hashlib

import pytest
from hypothesis import given, strategies as st

from frontend.domain.artifacts import KINDS, is_of_type
from frontend.domain.manifests import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from frontend.domain.search import (
    FIELDS,
    MAX_LENGTH,
    MAX_TERMS,
    DigestPrefix,
    Query,
    Subject,
    Term,
    parse_query,
)
from frontend.domain.search_faults import SearchInvalid

SHA256, SHA512 = b"\x01" + bytes(range(32)), b"\x02" + bytes(range(64))
HEX = "0123456789abcdef"
TEXTS = st.text(
    st.characters(codec="ascii", exclude_categories=["C", "Z"], exclude_characters='":@')
)


def terms_of(text):
    return [(term.field, term.text) for term in parse_query(text).terms]


def lists(text, repository="local/images", path="team/app", tag="v1.0-RC1", digest=SHA256):
    return parse_query(text).lists(
        Subject(repository, path, tag, digest, OCI_MANIFEST, "application/vnd.x+json")
    )


# --- the grammar ---


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("nginx", [("", "nginx")]),
        ("  nginx\tLATEST ", [("", "nginx"), ("", "latest")]),
        ("tag:V1 image:app", [("tag", "v1"), ("image", "app")]),
        ("TAG:v1", [("tag", "v1")]),
        ('tag:"a b"', [("tag", "a b")]),
        ('"tag:x"', [("", "tag:x")]),
        ("sha256:abcdef0", [("digest", "abcdef0")]),
        ("digest:SHA512:ABCDEF", [("digest", "abcdef")]),
        ("digest:abcdef", [("digest", "abcdef")]),
        ("library/nginx:1.25", [("", "library/nginx"), ("tag", "1.25")]),
        ("a/b@sha256:abcdef", [("", "a/b"), ("digest", "abcdef")]),
        ("a/b:1@sha256:abcdef", [("", "a/b"), ("tag", "1"), ("digest", "abcdef")]),
        ("127.0.0.1:5080/a/b/c:1", [("", "a/b/c"), ("tag", "1")]),
        ("localhost:5080/a/b", [("", "a/b")]),
        ("a.*+?[b]", [("", "a.*+?[b]")]),
    ],
)
def test_a_query_is_terms_with_blanks_between(text, terms):
    assert terms_of(text) == terms


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing"),
        (" \t", "nothing"),
        ('"open', "not closed"),
        ('tag:"open', "nothing follows"),
        ('""', "between two quotes"),
        ("tag:", "nothing follows 'tag:'"),
        ("localhost:5080/", "nothing follows"),
        ("tga:v1", "did you mean tag:"),
        ("repositry:x", "did you mean repository:"),
        ("nginx:1.25", "image:nginx"),
        ("digest:abcde", "6 hexadecimal digits"),
        ("digest:nothex", "6 hexadecimal digits"),
        ("digest:md5:abcdef", "sha256:"),
        ("sha256:" + "a" * 65, "65 digits"),
        ("digest:" + "a" * 129, "129 digits"),
        ("a " * (MAX_TERMS + 1), "terms"),
        ("a" * (MAX_LENGTH + 1), "characters"),
    ],
)
def test_what_is_no_query_is_refused_with_its_reason(text, said):
    with pytest.raises(SearchInvalid) as caught:
        parse_query(text)

    assert said in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_query_or_refused(text):
    try:
        query = parse_query(text)
    except SearchInvalid as error:
        assert str(error)
    else:
        assert 0 < len(query.terms) <= MAX_TERMS
        assert all(term.field in ("", *FIELDS) and term.text for term in query.terms)


@given(TEXTS.filter(bool), st.sampled_from(("repository", "storage", "image", "tag")))
def test_a_text_is_kept_as_it_was_typed_but_for_its_case(text, field):
    assert terms_of(f"{field}:{text}") == [(field, text.lower())]
    assert terms_of(f'{field}:"{text} {text}"') == [(field, f"{text} {text}".lower())]


# --- digests ---


@given(st.sampled_from((SHA256, SHA512)), st.integers(6, 128))
def test_every_beginning_of_a_digest_fits_it(key, digits):
    text = key[1:].hex()[:digits]

    assert DigestPrefix(text).fits(key)
    assert DigestPrefix(text, {1: "sha256", 2: "sha512"}[key[0]]).fits(key)
    assert not DigestPrefix(text, {1: "sha512", 2: "sha256"}[key[0]]).fits(key)


@given(st.binary(min_size=32, max_size=32), st.text(HEX, min_size=6, max_size=64))
def test_a_range_of_keys_holds_what_begins_so_and_nothing_else(raw, text):
    is_in = any(low <= b"\x01" + raw <= high for low, high in DigestPrefix(text).ranges())

    assert is_in == raw.hex().startswith(text)


def test_a_digest_of_another_length_is_of_another_algorithm():
    assert [low[0] for low, _ in DigestPrefix("ab" * 32).ranges()] == [1, 2]
    assert [low[0] for low, _ in DigestPrefix("ab" * 33).ranges()] == [2]


# --- what holds ---


@pytest.mark.parametrize(
    ("text", "is_listed"),
    [
        ("v1", True),
        ("V1.0-rc", True),
        ("app", False),  # of the image only
        ("app v1", True),
        ("app v2", False),
        ("tag:v1 image:team/app", True),
        ("tag:app", False),
        ("image:v1", False),
        ("image:images", False),  # that is the repository's
        ("local/images/team rc1", True),
        ("v1 repository:images", True),
        ("v1 repository:local/im", True),
        ("v1 repository:team", False),
        ("v1 storage:loc", True),
        ("v1 storage:images", False),
        ("000102", True),
        ("000103", False),
        ("sha256:0001020", True),
        ("sha512:000102", False),
        ("type:image", False),
        ("type:vnd.x", True),
        ("type:manifest app", True),
        ("v1.0.rc1", False),  # a dot is a dot
    ],
)
def test_a_tag_is_listed_when_all_terms_hold_and_one_of_itself(text, is_listed):
    assert lists(text) == is_listed


@pytest.mark.parametrize(
    ("text", "is_listed"),
    [
        ("app", True),
        ("images/team", True),
        ("local app", True),
        ("image:app", True),
        ("repository:images", True),
        ("app v1", False),
        ("tag:app", False),
        ("type:image", False),
        ("digest:abcdef", False),
        ("image:local", False),
    ],
)
def test_an_image_is_listed_when_its_name_is_enough(text, is_listed):
    terms = parse_query(text).terms

    assert all(term.holds_of_image("local/images", "team/app") for term in terms) == is_listed
    assert parse_query(text).lists_images or not is_listed


@given(st.lists(st.sampled_from(("v1", "app", "local", "tag:rc", "image:team")), min_size=1))
def test_the_order_of_terms_does_not_matter(words):
    some = words[:MAX_TERMS]

    assert lists(" ".join(some)) == lists(" ".join(reversed(some)))


def test_whole_paths_are_words_and_images():
    assert parse_query("V1 tag:v2 image:a/b type:v4").whole_paths == {"v1", "a/b"}


def test_whole_tags_are_words_and_tags():
    assert parse_query("V1 tag:v2 image:v3 type:v4").whole_tags == {"v1", "v2"}


def test_the_longest_digest_is_what_is_looked_up():
    assert parse_query("x digest:abcdef digest:abcdef01").required_digest.text == "abcdef01"
    assert parse_query("x abcdef").required_digest is None
    assert [term.text for term in parse_query("x abcdef 0123456").possible_digests] == [
        "abcdef",
        "0123456",
    ]
    assert Query((Term("tag", "x"),)).possible_digests == ()


# --- kinds ---

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
SIGNED = f"sha256-{hashlib.sha256(b'').hexdigest()}"


@pytest.mark.parametrize(
    ("kind", "media_type", "artifact_type", "tag"),
    [
        ("image", OCI_MANIFEST, OCI_CONFIG, "v1"),
        ("image", DOCKER_MANIFEST, "application/vnd.docker.container.image.v1+json", ""),
        ("index", OCI_INDEX, "", ""),
        ("index", DOCKER_LIST, "", "v1"),
        ("chart", OCI_MANIFEST, "application/vnd.cncf.helm.config.v1+json", "1.0"),
        ("signature", OCI_MANIFEST, OCI_CONFIG, f"{SIGNED}.sig"),
        ("signature", OCI_MANIFEST, "application/vnd.cncf.notary.signature", ""),
        ("signature", OCI_MANIFEST, "application/vnd.dev.cosign.artifact.sig.v1+json", ""),
        ("signature", OCI_MANIFEST, "application/vnd.dev.sigstore.bundle.v0.3+json", ""),
        ("sbom", OCI_MANIFEST, OCI_CONFIG, f"{SIGNED}.sbom"),
        ("sbom", OCI_MANIFEST, "application/spdx+json", ""),
        ("sbom", OCI_MANIFEST, "application/vnd.cyclonedx+json", ""),
    ],
)
def test_an_artifact_is_of_one_kind(kind, media_type, artifact_type, tag):
    assert [each for each in KINDS if is_of_type(each, media_type, artifact_type, tag)] == [kind]


def test_any_other_text_is_looked_for_in_both_types():
    assert is_of_type("wasm", OCI_MANIFEST, "application/vnd.WASM.config.v1+json")
    assert is_of_type("docker", DOCKER_MANIFEST, "")
    assert not is_of_type("wasm", OCI_MANIFEST, "")
