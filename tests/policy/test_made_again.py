import pytest

from hyperfs.policy.made_again import goes_on_as, stem_of


@pytest.mark.parametrize(
    ("name", "other"),
    [
        (b"a.log", b"a.log.gz"),
        (b"a.png", b"a.jpg"),
        (b"a.o", b"a.c"),
        (b"a.tar.gz", b"a.tar"),
        (b"notes", b"notes.txt"),
        (b"notes.txt", b"notes.txt~"),
        (b"notes.txt", b"notes.txt (copy)"),
    ],
)
def test_a_file_goes_on_as_another(name: bytes, other: bytes) -> None:
    assert goes_on_as(name, other)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        (b"img1.jpg", b"img10.jpg"),
        (b"1", b"10"),
        (b"a.log", b"a.log"),
        (b"a.log", b"b.log"),
        (b".profile", b".bashrc"),
        (b"report 1.pdf", b"report 2.pdf"),
    ],
)
def test_a_file_that_is_called_alike_is_another(name: bytes, other: bytes) -> None:
    assert not goes_on_as(name, other)


def test_a_name_that_begins_with_its_dot_has_no_ending() -> None:
    assert [stem_of(name) for name in (b".profile", b"a.b.c", b"a", b"a.")] == [b".profile", b"a.b", b"a", b"a"]
