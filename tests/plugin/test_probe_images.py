"""The images that pictures are made from: served as they are, and nothing else with them."""

import json
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plugin.harness import PICTURE, SECRET, Tab, fetch, hidden_png, write_probe

PROBE = "0123456789abcdef"
ELSEWHERE = ["../secret", "../../../secret", "..%2f..%2fsecret", "..\\secret", "/etc/passwd", "file:///etc/x", "\0"]


def fetch_probe(run: Path, probe: str = PROBE, image: str = "0") -> tuple[int, str]:
    return fetch(run, "probe_image", probe=probe, image=image)


def test_the_images_of_a_probe_may_be_cached_for_good(run, store):
    key = write_probe(store)
    response = Tab(run.parent).get("probe_image", run="run", probe=key, image=0)
    assert (response.status_code, response.content_type) == (200, "image/png")
    assert np.array_equal(np.asarray(Image.open(BytesIO(response.data))), PICTURE)
    assert response.cache_control.max_age == 365 * 24 * 3600
    missing = Tab(run.parent).get("probe_image", run="run", probe=key, image=1)
    assert (missing.status_code, json.loads(missing.text)) == (
        404,
        {"error": f"The store has no image 1 of probe {key}."},
    )
    assert missing.cache_control.no_cache


@pytest.mark.parametrize(
    "probe",
    [*ELSEWHERE, "", PROBE.upper(), PROBE + "0", PROBE + "\n", "given-" + PROBE, "../" * 4 + "abcd", "..%2f" * 3 + "a"],
)
def test_a_probe_is_a_hash(run, store, probe):
    write_probe(store)
    (run / "secret-0.png").write_bytes(hidden_png())
    assert fetch_probe(run, probe) == (400, 'Argument "probe" is not sixteen hexadecimal digits.')


@pytest.mark.parametrize("image", ["../0", "0.png", "", "1e0", "0\n", "-1", "9" * 16, "\N{ARABIC-INDIC DIGIT ONE}"])
def test_an_image_of_a_probe_is_a_number(run, store, image):
    assert fetch_probe(run, write_probe(store), image)[0] == 400


@pytest.mark.parametrize(("target", "is_inside"), [("../inside.png", True), ("../../../../outside.png", False)])
def test_a_probe_that_is_a_link_is_followed_inside_the_store_only(run, store, target, is_inside):
    key = write_probe(store)
    path = store.folder / f"probes/{key}-0.png"
    path.unlink()
    path.symlink_to(target)
    (path.parent / target).write_bytes(hidden_png())
    assert fetch_probe(run, key)[0] == (200 if is_inside else 404)
    assert is_inside or "a link that leads out of the store" in fetch_probe(run, key)[1]


@pytest.mark.parametrize("content", [SECRET, b"<script>alert(1)</script>", hidden_png()[:-1]])
def test_a_probe_that_we_would_not_write_is_not_served(run, store, content):
    key = write_probe(store)
    (store.folder / f"probes/{key}-0.png").write_bytes(content)
    assert fetch_probe(run, key) == (404, f"Image 0 of probe {key} can't be shown: not a whole PNG.")


def test_a_probe_that_is_huge_or_no_plain_file_is_not_read(run, store):
    key = write_probe(store)
    path = store.folder / f"probes/{key}-0.png"
    with open(path, "ab") as file:
        file.truncate((64 << 20) + 1)
    assert "larger than 64 MiB" in fetch_probe(run, key)[1]
    path.unlink()
    os.mkfifo(path)
    assert "not a plain file" in fetch_probe(run, key)[1]
