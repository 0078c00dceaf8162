"""What may be typed in, and the names that files may have."""

from __future__ import annotations

import pytest

from backend.errors import AtelierError, BadRequest
from backend.sources import checked_name, checked_path, permitted, typed


@pytest.mark.parametrize(
    "name",
    ["..", "../x.safetensors", "/etc/passwd", "a/../b.safetensors", "C:\\x.pth", "..\\x.pth", ".hidden.pth", "a\0b.pth", "a\nb.pth", "con.pth",
     "x.pth ", "x:y.pth", "", "~", "-rf.pth", "x" * 200 + ".pth", "a\u202egpj.pth"],
)  # fmt: skip
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(AtelierError):
        checked_name(name, (".safetensors", ".pth"))
    with pytest.raises(AtelierError):
        checked_path(f"good/{name}")


@pytest.mark.parametrize("name", ["control.safetensors", "Größe (2).pth", "模型_v1.2.gguf", "4x-UltraSharp.pth", "a+b=c.bin"])
def test_usual_names_are_taken(name: str) -> None:
    assert checked_name(name, (".safetensors", ".pth", ".gguf", ".bin")) == name


ODD = (
    "../x", "owner", "owner/../x", "ftp://a/b.pth", "http://example.org/x.pth", "file:///etc/passwd", "owner/name/../x.pth",
    "https://user:pass@example.org/x.pth", "owner/name/run.py", "", "https://[bad",
)  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_what_is_typed_must_be_a_repository_or_an_https_address(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        typed(text, "checkpoint")
    assert list(refused.value.fields) == ["text"]


def test_pages_of_the_hub_are_read_as_repositories() -> None:
    assert typed("https://huggingface.co/a/b/blob/main/sub/x.safetensors?x=1", "vae").files == ("sub/x.safetensors",)
    assert typed("https://huggingface.co/a/b/tree/main", "vae").repository == "a/b"
    assert typed(" a/b x.safetensors ", "vae").files == ("x.safetensors",)
    with pytest.raises(BadRequest, match="no kind of model"):
        typed("a/b", "program")


def test_no_redirect_leads_into_this_machine_or_off_https() -> None:
    assert permitted("https://example.org/x") and permitted("http://127.0.0.1:1/x")
    assert not permitted("http://example.org/x")
    assert not permitted("http://127.0.0.1/x", "https://example.org/y")
    assert not permitted("https://localhost/x", "https://example.org/y")
    assert not permitted("http://example.org/x", "http://127.0.0.1/y")
