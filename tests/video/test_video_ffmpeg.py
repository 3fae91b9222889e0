"""The ffmpeg binary: one that can do what we need, or one clear error."""

from pathlib import Path

import ffmpeg
import pytest

from tasks.video.ffmpeg import (
    FFMPEG_VARIABLE,
    FFmpegMissingError,
    FFmpegTimeoutError,
    ffmpeg_exe,
    ffmpeg_version,
    file_argument,
    run_ffmpeg,
)

FILTERS = " T. colorspace V->V  Convert\n .S tonemap V->V  Tonemap\n"


def program(folder: Path, *lines: str) -> Path:
    path = folder / "ffmpeg"
    path.write_text("\n".join(("#!/bin/sh", *lines)))
    path.chmod(0o755)
    return path


def test_the_bundled_binary_is_found_and_says_its_version(monkeypatch):
    monkeypatch.delenv(FFMPEG_VARIABLE, raising=False)

    assert ffmpeg_exe().is_file()
    assert ffmpeg_version()[:1].lower() in "n0123456789"


def test_another_binary_may_be_named(monkeypatch, tmp_path):
    monkeypatch.delenv(FFMPEG_VARIABLE, raising=False)
    link = tmp_path / "my ffmpeg"
    link.symlink_to(ffmpeg_exe())
    monkeypatch.setenv(FFMPEG_VARIABLE, str(link))

    assert ffmpeg_exe() == link


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["echo hello"], "is no ffmpeg"),
        (["echo ffmpeg version 5.1", f"echo '{FILTERS}'"], "built without zscale"),
    ],
)
def test_a_binary_that_cannot_do_it_is_named_with_advice(monkeypatch, tmp_path, lines, told):
    monkeypatch.setenv(FFMPEG_VARIABLE, str(program(tmp_path, *lines)))

    with pytest.raises(FFmpegMissingError, match=f"{told}.*Unset {FFMPEG_VARIABLE}"):
        ffmpeg_exe()


def test_a_program_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(FFMPEG_VARIABLE, str(tmp_path / "nothing"))

    with pytest.raises(FFmpegMissingError, match="is no program"):
        ffmpeg_exe()


def test_what_does_not_end_is_ended():
    endless = ffmpeg.input("testsrc", format="lavfi", re=None).output("-", format="null")

    with pytest.raises(FFmpegTimeoutError, match=r"within 0\.3 s"):
        run_ffmpeg(endless, 0.3)


def test_names_that_look_like_options_or_addresses_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = Path("-http: %d.png")
    made = ffmpeg.input("testsrc=size=16x16", format="lavfi").output(file_argument(picture), vframes=1, update=1)

    assert run_ffmpeg(made, 20).code == 0
    assert picture.is_file()
