"""Runs the tests of the tab's pure functions in node, beside what NumPy, SciPy and our Python side say of the same."""

import base64
import json
import os
import re
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import cKDTree

from lightning_viz.render import filter_grid, heat_map, overlay, resize_map, signed_picture
from lightning_viz.render.palettes import class_colours, palette

HERE = Path(__file__).parent
ODD = np.float32([np.nan, np.inf, -np.inf])


def npy(array: ArrayLike) -> str:
    """A file as NumPy writes it."""
    file = BytesIO()
    np.save(file, np.asarray(array))
    return base64.b64encode(file.getvalue()).decode()


def filters() -> list[dict[str, Any]]:
    """Filters and their pictures."""
    found = []
    for shape in ((8, 3, 5, 7), (13, 1, 3, 4), (70, 2, 3, 4), (5, 66, 1, 2), (1, 3, 2, 2)):
        values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        values[0] = 0.25
        if shape[0] > 4:
            values[1:4, 0, 0, 0] = ODD
            values[4] = np.nan
        found.append({"values": npy(values), "picture": filter_grid(values).picture.tolist()})
    return found


def maps() -> dict[str, Any]:
    """Maps and their pictures, on rectangles."""
    rng = np.random.default_rng(1)
    values, photograph = rng.normal(size=(3, 5)).astype(np.float32), rng.integers(0, 255, (7, 12, 3), np.uint8)
    signed = rng.normal(size=(3, 4, 6)).astype(np.float32)
    values[0, :3] = ODD
    signed[2, 1, 1:4] = ODD
    whole = np.zeros((3, 7, 12), np.float32)
    whole[:, 2:6, 1:7] = signed
    return {
        "values": npy(values),
        "resized": resize_map(values[1:], 7, 12).tolist(),
        "heat": heat_map(values, 0, 1.5).tolist(),
        "grey": heat_map(values, 0, 1.5, "grey").tolist(),
        "diverging": heat_map(values, -1.5, 1.5, "diverging").tolist(),
        "photograph": photograph.tolist(),
        "overlay": overlay(photograph, values[1:], 1.5, opacity=0.25).tolist(),
        "signed": npy(signed[None]),
        "reconstruction": signed_picture(whole, 1.5).tolist(),
        "mean": signed_picture(whole[:2], 1.5).tolist(),
    }


def motions() -> list[dict[str, Any]]:
    """Points, a reference, and what lays them upon it, by SciPy."""
    rng = np.random.default_rng(0)
    found = []
    for mirrored in (False, True):
        points, noise = rng.normal(size=(2, 40, 2))
        turn = np.array([[0.28, -0.96], [0.96, 0.28]]) * ([1, -1] if mirrored else 1)
        reference = points @ turn + [3, 4] + noise / 3
        rotation = orthogonal_procrustes(points - points.mean(0), reference - reference.mean(0))[0].T
        assert (np.linalg.det(rotation) < 0) == mirrored
        shift = reference.mean(0) - rotation @ points.mean(0)
        motion = dict(zip(("a", "b", "c", "d", "x0", "y0"), [*rotation.ravel(), *shift], strict=True))
        found.append({"points": points.ravel().tolist(), "reference": reference.ravel().tolist(), "motion": motion})
    return found


def looks() -> dict[str, Any]:
    """Places, and the nearest point within reach of each, by SciPy; -1 where there is none."""
    rng = np.random.default_rng(1)
    points, at = rng.normal(size=(500, 2)) * 100, rng.normal(size=(50, 2)) * 130
    points = points.astype(np.float32).astype(float)
    distances, nearest = cKDTree(points).query(at)
    triangle = np.array([[-50, -80], [90, -10], [0, 100]])
    ahead, rest = np.roll(triangle, -1, axis=0) - triangle, points[:, None] - triangle
    inside = (ahead[:, 0] * rest[..., 1] - ahead[:, 1] * rest[..., 0] > 0).all(1)
    return {
        "points": points.ravel().tolist(),
        "at": at.tolist(),
        "nearest": np.where(distances < 12, nearest, -1).tolist(),
        "triangle": [{"x": x, "y": y} for x, y in triangle.tolist()],
        "inside": np.flatnonzero(inside).tolist(),
    }


def files() -> dict[str, Any]:
    """Files of NumPy: of each number of axes, by version of the format, and those that the tab must refuse."""
    values = np.random.default_rng(2).normal(size=(2, 3, 4)).astype(np.float32)

    def second(array: NDArray[Any]) -> str:
        file = BytesIO()
        np.lib.format.write_array(file, array, version=(2, 0))
        return base64.b64encode(file.getvalue()).decode()

    good = [values, values[0], values[0, 0], np.float32(1.5), values[:0], np.append(ODD, np.float32(0))]
    bad = [values.astype(float), np.asfortranarray(values), values.astype(">f4"), np.arange(4)]
    return {
        "good": [
            {"file": npy(one), "shape": list(np.shape(one)), "values": [str(v) for v in np.ravel(one)]} for one in good
        ],
        "second": {"file": second(values), "values": [str(v) for v in values.ravel()]},
        "bad": [npy(one) for one in bad],
    }


@pytest.fixture
def peers(tmp_path: Path) -> Path:
    """What others say, for the tests in node; see ``helpers.mjs``."""
    path = tmp_path / "peers.json"
    colours = {name: palette(name).tolist() for name in ("grey", "heat", "diverging")}
    said = {
        "filters": filters(), "maps": maps(), "motions": motions(), "looks": looks(), "files": files(),
        "palettes": colours, "classes": class_colours(range(25)).tolist(),
    }  # fmt: skip
    path.write_text(json.dumps(said))
    return path


def test_the_pure_functions_of_the_tab(peers: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("the pure functions of the tab are tested in node: apt-get install nodejs")
    tests = sorted(HERE.glob("*.test.mjs"))
    declared = sum(len(re.findall(r"^test\(", path.read_text(), re.MULTILINE)) for path in tests)
    command = [node, "--test", "--test-reporter=spec", *map(str, tests)]
    environment = {**os.environ, "PEERS": str(peers)}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    counts = {name: int(count) for name, count in re.findall(r"^\S+ (\w+) (\d+)$", run.stdout, re.MULTILINE)}
    failures = run.stdout.partition("failing tests:")[2] or run.stdout + run.stderr
    assert run.returncode == 0, failures
    assert counts["skipped"] == counts["todo"] == counts["cancelled"] == 0, run.stdout
    assert counts["pass"] == counts["tests"] >= declared > len(tests), run.stdout
