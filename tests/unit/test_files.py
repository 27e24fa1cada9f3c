"""Files are whole or untouched."""

import json
import sys
from pathlib import Path

import pytest

from inference_server.errors import UserError
from inference_server.files import check_writable, replacing, sha256_of, write_json


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "new folder" / "scan.json"
    with replacing(path) as temporary:
        assert temporary.suffix == ".json" and temporary.parent == path.parent
        temporary.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError(28, "No space left on device")])
def test_what_was_there_stays_where_writing_ends_early(tmp_path, error):
    path = tmp_path / "scan.json"
    path.write_text("before")
    with pytest.raises((KeyboardInterrupt, ValueError, UserError)) as caught, replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert str(caught.value).startswith(f"Cannot write {path}: No space left on device.")


@pytest.mark.skipif(sys.platform == "win32", reason="rights of files are others there")
def test_others_may_read_it_as_they_may_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_json(tmp_path / "new.json", {})
    assert (tmp_path / "new.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_json_is_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"é": [1, None]}


def test_a_place_that_cannot_be_written_is_told_before_it_is_needed(tmp_path):
    check_writable(tmp_path / "logs" / "server.log")
    (tmp_path / "a file").write_text("")
    with pytest.raises(UserError, match="choose another"):
        check_writable(tmp_path / "a file" / "server.log")
    with pytest.raises(UserError, match="choose another"):
        check_writable(tmp_path)


def test_the_digest_of_several_files_is_that_of_their_content(tmp_path):
    for name, content in (("a", b"12"), ("b", b"3"), ("whole", b"123")):
        (tmp_path / name).write_bytes(content)
    assert sha256_of(tmp_path / "a", tmp_path / "b") == sha256_of(tmp_path / "whole")
    assert sha256_of(Path(tmp_path / "a")) != sha256_of(tmp_path / "b")
