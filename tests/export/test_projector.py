"""The files of TensorBoard's Projector, read by TensorBoard's own plugin."""

import multiprocessing
import re
from io import BytesIO
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from tensorboard.backend.application import TensorBoardWSGI
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector import projector_plugin
from torch.utils.tensorboard import SummaryWriter
from werkzeug.test import Client, TestResponse

from lightning_viz.export.projector import CONFIG, FOLDER, MOST, ProjectorPoints, _encode, write_embedding
from lightning_viz.render import thumbnail_sheet

rng = np.random.default_rng(0)
PICTURES = rng.integers(0, 256, (10, 60, 30, 3), np.uint8)
LABELS = np.arange(10) % 3
POINTS = ProjectorPoints("abcd", thumbnail_sheet(PICTURES), LABELS, ["cat", "dog", "tree"])
FEATURES = rng.normal(size=(10, 7)).astype(np.float32)


class Projector:
    """TensorBoard's Projector as it starts on a logdir."""

    def __init__(self, logdir: Path, run: str = "run") -> None:
        with SummaryWriter(str(logdir / run)) as writer:
            writer.add_scalar("loss", 1.0, 0)
        multiplexer = EventMultiplexer()
        multiplexer.AddRunsFromDirectory(str(logdir))
        multiplexer.Reload()
        provider = MultiplexerDataProvider(multiplexer, str(logdir))
        plugin = projector_plugin.ProjectorPlugin(TBContext(data_provider=provider, logdir=str(logdir)))
        self.client = Client(TensorBoardWSGI([plugin], "", provider))
        self.run = run

    def get(self, route: str, **query: str) -> TestResponse:
        return self.client.get(f"/data/plugin/projector/{route}", query_string=query)

    def embeddings(self) -> dict[str, Any]:
        if self.run not in self.get("runs").json:
            return {}
        listed = self.get("info", run=self.run).json["embeddings"]
        by_name = {one["tensorName"]: one for one in listed}
        assert len(by_name) == len(listed)
        return by_name

    def tensor(self, name: str) -> np.ndarray:
        content = self.get("tensor", run=self.run, name=name).data
        return np.frombuffer(content, "<f4").reshape(self.embeddings()[name]["tensorShape"])

    def metadata(self, name: str) -> list[list[str]]:
        return [line.split("\t") for line in self.get("metadata", run=self.run, name=name).text.splitlines()]

    def sprite(self, name: str) -> np.ndarray:
        return np.asarray(Image.open(BytesIO(self.get("sprite_image", run=self.run, name=name).data)))


def files(logdir: Path) -> dict[str, bytes]:
    folder = logdir / "run" / FOLDER
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_features_labels_and_thumbnails_arrive(tmp_path):
    for epoch in range(3):
        write_embedding(tmp_path / "run", "classifier.6", epoch, FEATURES + epoch, POINTS)
    projector = Projector(tmp_path)
    assert list(projector.embeddings()) == [f"classifier.6 epoch 00{epoch}" for epoch in range(3)]
    for epoch, (name, info) in enumerate(projector.embeddings().items()):
        assert np.array_equal(projector.tensor(name), FEATURES + epoch)
        assert projector.metadata(name)[:3] == [["class", "image"], ["cat", "0"], ["dog", "1"]]
        assert len(projector.metadata(name)) == 11
        assert info["sprite"]["singleImageDim"] == [60, 60]
        sprite = projector.sprite(name)
        assert sprite.shape == (240, 240, 4)
        assert np.array_equal(sprite[60:120, 75:105, :3], PICTURES[5])
    kinds = [re.sub(r"-.*\.", ".", name) for name in files(tmp_path)]
    assert sorted(kinds) == sorted(
        [f".{CONFIG}.lock", CONFIG, "metadata.tsv", "sprite.png"] + ["classifier.6.tensor"] * 3
    )


def test_it_takes_features_alone_and_tensors(tmp_path):
    write_embedding(tmp_path / "run", "embed", 1.5, torch.tensor(FEATURES), ProjectorPoints("abcd"))
    projector = Projector(tmp_path)
    assert "sprite" not in projector.embeddings()["embed epoch 001.5"]
    assert np.array_equal(projector.tensor("embed epoch 001.5"), FEATURES)
    assert projector.metadata("embed epoch 001.5") == [[str(i)] for i in range(10)]


SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=4)
BITS = hnp.arrays(
    np.uint32, SHAPES, elements=st.sampled_from([0, 0x0A0A0A0A, 0x3F41420A, 0x41424344]) | st.integers(0, 2**32 - 1)
)


@given(BITS)
def test_any_features_arrive_bit_for_bit_though_tensorboard_guesses_the_format(tmp_path_factory, bits):
    values = bits.view(np.float32)
    values = np.where(np.isfinite(values), values, np.float32(1))
    path = tmp_path_factory.mktemp("tensor") / "x.tensor"
    path.write_bytes(_encode(values))
    try:
        read = projector_plugin._read_tensor_tsv_file(str(path))
    except UnicodeDecodeError:
        read = projector_plugin._read_tensor_binary_file(str(path), values.shape)
    assert np.array_equal(read, values)
    # With TensorFlow installed it decodes line by line: then the first line decides.
    first = path.read_bytes().split(b"\n")[0]
    assert path.read_bytes() != values.tobytes() or first.decode(errors="replace").encode() != first


@pytest.mark.parametrize(
    "features", [np.zeros((4, 3)), np.full((4, 3), np.frombuffer(b"\nABC", "<f4"))], ids=["0", "text"]
)
def test_features_whose_bytes_are_text_arrive(tmp_path, features):
    write_embedding(tmp_path / "run", "fc", 0, features, ProjectorPoints("abcd"))
    assert np.array_equal(Projector(tmp_path).tensor("fc epoch 000"), features)


def test_what_is_not_finite_is_zero_and_said(tmp_path):
    bad = FEATURES.copy()
    bad[3, 2], bad[7, 0] = np.nan, -np.inf
    before = bad.copy()
    write_embedding(tmp_path / "run", "fc", 0, FEATURES, POINTS)
    write_embedding(tmp_path / "run", "fc", 1, bad, POINTS)
    projector = Projector(tmp_path)
    expected = np.where(np.isin(np.arange(10), (3, 7))[:, None], 0, FEATURES)
    assert np.array_equal(projector.tensor("fc epoch 001"), expected)
    rows = projector.metadata("fc epoch 001")
    assert rows[0] == ["class", "image", "features"]
    assert [row[1] for row in rows[1:] if row[2] != "finite"] == ["3", "7"]
    assert projector.metadata("fc epoch 000")[0] == ["class", "image"]
    assert np.array_equal(bad, before, equal_nan=True)


def test_names_of_classes_stay_in_their_cells(tmp_path):
    names = ["a\tb", "c\nd\r\ne", "\u2028 é 猫 \udcff"]
    labels = [0, 1, 2, 3, -1, 0, 0, 0, 0, 0]
    write_embedding(tmp_path / "run", "fc", 0, FEATURES, ProjectorPoints("abcd", None, labels, names))
    rows = Projector(tmp_path).metadata("fc epoch 000")
    assert [row[0] for row in rows[:6]] == ["class", "a b", "c d e", "é 猫 ?", "3", "-1"]
    assert {len(row) for row in rows} == {2}


def test_a_resumed_run_that_draws_the_same_changes_nothing(tmp_path):
    for epoch in range(3):
        write_embedding(tmp_path / "run", "fc", epoch, FEATURES + epoch, POINTS)
    before = files(tmp_path)
    names = sorted(Projector(tmp_path).embeddings())
    for epoch in (1, 2):
        write_embedding(tmp_path / "run", "fc", epoch, FEATURES + epoch, POINTS)
    after = files(tmp_path)
    assert sorted(Projector(tmp_path).embeddings()) == names
    assert {name: content for name, content in before.items() if name != CONFIG} == {
        name: content for name, content in after.items() if name != CONFIG
    }


def test_an_epoch_drawn_again_has_a_name_of_its_own(tmp_path):
    for again in range(3):
        for epoch in (0, 1):
            write_embedding(tmp_path / "run", "fc", epoch, FEATURES + epoch * again, POINTS)
    projector = Projector(tmp_path)
    assert sorted(projector.embeddings()) == ["fc epoch 000", "fc epoch 001 (3)"]
    assert np.array_equal(projector.tensor("fc epoch 001 (3)"), FEATURES + 2)
    assert sorted(name for name in files(tmp_path) if name.endswith(".tensor")) == [
        "fc-epoch-000.tensor",
        "fc-epoch-001-(3).tensor",
    ]


def test_another_sample_of_images_overwrites_nothing(tmp_path):
    other = ProjectorPoints("ffff", thumbnail_sheet(255 - PICTURES[:5]), LABELS[:5] + 1, POINTS.class_names)
    write_embedding(tmp_path / "run", "fc", 0, FEATURES, POINTS)
    write_embedding(tmp_path / "run", "fc", 1, FEATURES[:5], other)
    projector = Projector(tmp_path)
    assert [len(projector.metadata(name)) - 1 for name in ("fc epoch 000", "fc epoch 001")] == [10, 5]
    assert projector.metadata("fc epoch 000")[1][0] == "cat"
    assert projector.metadata("fc epoch 001")[1][0] == "dog"
    assert projector.sprite("fc epoch 000").shape == (240, 240, 4)
    assert projector.sprite("fc epoch 001").shape == (180, 180, 4)


def test_names_that_look_alike_share_nothing(tmp_path):
    names = ["a b", "a-b", "a/b", "a%2Fb", "a epoch 001", "a", "..", "<lambda>"]
    for number, name in enumerate(names):
        write_embedding(tmp_path / "run", name, 1, FEATURES + number, POINTS)
    projector = Projector(tmp_path)
    for number, name in enumerate(names):
        assert np.array_equal(projector.tensor(f"{name} epoch 001"), FEATURES + number)


def test_the_epochs_that_stay_are_spread(tmp_path):
    for epoch in range(100):
        write_embedding(tmp_path / "run", "fc", epoch, FEATURES + epoch, ProjectorPoints("abcd"))
    gaps = np.diff(sorted(int(name[-10:-7]) for name in files(tmp_path) if name.startswith("fc-")))
    assert len(gaps) == MOST - 1
    assert gaps.max() <= 2 * 100 / MOST


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 999), min_size=18, max_size=60, unique=True).map(sorted))
def test_of_many_epochs_the_first_the_last_and_some_between_stay(tmp_path_factory, epochs):
    logdir = tmp_path_factory.mktemp("logs")
    write_embedding(logdir / "run", "other", 5, FEATURES, POINTS)
    for epoch in epochs:
        write_embedding(logdir / "run", "fc", epoch, FEATURES + epoch, ProjectorPoints("abcd"))
    kept = [int(name[-10:-7]) for name in files(logdir) if name.startswith("fc-")]
    menu = Projector(logdir).embeddings()
    assert sorted(menu) == sorted([*(f"fc epoch {epoch:03}" for epoch in kept), "other epoch 005"])
    assert len(kept) == min(len(epochs), MOST)
    assert {epochs[0], epochs[-1]} <= set(kept) <= set(epochs)


def add_embedding(run: Path, tag: str, features: np.ndarray = FEATURES, step: int = 0) -> None:
    with SummaryWriter(str(run)) as writer:
        pictures = torch.rand(len(features), 3, 8, 8)
        writer.add_embedding(torch.tensor(features), LABELS.tolist(), pictures, step, tag)


def test_what_add_embedding_loses(tmp_path):
    """A second writer forgets what the first wrote; portrait thumbnails end in an error."""
    add_embedding(tmp_path / "run", "first")
    add_embedding(tmp_path / "run", "second")
    assert list(Projector(tmp_path).embeddings()) == ["second:00000"]
    with SummaryWriter(str(tmp_path / "run")) as writer, pytest.raises(ValueError, match="broadcast"):
        writer.add_embedding(torch.tensor(FEATURES), label_img=torch.rand(10, 3, 36, 24))


def test_what_add_embedding_wrote_stays_in_the_menu(tmp_path):
    run = tmp_path / "run"
    add_embedding(run, "first")
    write_embedding(run, "fc", 0, FEATURES, POINTS)
    add_embedding(run, "second", FEATURES + 1)  # forgets the first
    write_embedding(run, "fc", 1, FEATURES, POINTS)
    projector = Projector(tmp_path)
    assert sorted(projector.embeddings()) == ["fc epoch 000", "fc epoch 001", "first:00000", "second:00000"]
    for number, name in enumerate(("first:00000", "second:00000")):
        assert np.allclose(projector.tensor(name), FEATURES + number, atol=1e-6)
        assert projector.metadata(name) == [[str(label)] for label in LABELS]
        assert projector.sprite(name).shape == (32, 32, 3)
    assert (run / CONFIG).read_text().count("embeddings") == 1


def test_entries_of_others_in_our_configuration_stay(tmp_path):
    folder = tmp_path / "run" / FOLDER
    folder.mkdir(parents=True)
    np.savetxt(folder / "theirs.tsv", FEATURES, delimiter="\t")
    (folder / CONFIG).write_text('embeddings { tensor_name: "fc epoch 003" tensor_path: "theirs.tsv" }')
    for epoch in range(MOST + 10):
        write_embedding(tmp_path / "run", "fc", epoch, FEATURES + (epoch + 1), POINTS)
        if epoch == 3:
            assert np.array_equal(Projector(tmp_path).tensor("fc epoch 003 (2)"), FEATURES + 4)
    projector = Projector(tmp_path)
    assert np.allclose(projector.tensor("fc epoch 003"), FEATURES)
    assert len(projector.embeddings()) == MOST + 1


def test_embeddings_without_their_files_are_not_taken_over(tmp_path):
    """TensorBoard opens all files of a configuration, and shows no run when one is missing."""
    (tmp_path / "run").mkdir()
    gone = 'embeddings { tensor_name: "gone" tensor_path: "gone.tsv" }'
    (tmp_path / "run" / CONFIG).write_text(gone)
    write_embedding(tmp_path / "run", "fc", 0, FEATURES, POINTS)
    assert list(Projector(tmp_path).embeddings()) == ["fc epoch 000"]


@pytest.mark.parametrize("broken", [b"embeddings { tensor_na", b"\xff\xfe"])
def test_a_configuration_that_cannot_be_read_is_kept_aside(tmp_path, broken):
    folder = tmp_path / "run" / FOLDER
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / CONFIG).write_bytes(broken)
        with pytest.warns(UserWarning, match=rf"can't be read; it is kept as unreadable-{number}-{CONFIG}"):
            write_embedding(tmp_path / "run", "fc", number, FEATURES, POINTS)
        assert (folder / f"unreadable-{number}-{CONFIG}").read_bytes() == broken
    assert list(Projector(tmp_path).embeddings()) == ["fc epoch 002"]


def test_a_broken_configuration_of_somebody_else_is_named_and_left(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / CONFIG).write_text("embeddings {")
    with pytest.warns(UserWarning, match="shows nothing until it is gone"):
        write_embedding(tmp_path / "run", "fc", 0, FEATURES, POINTS)
    assert (tmp_path / "run" / CONFIG).read_text() == "embeddings {"
    (tmp_path / "run" / CONFIG).unlink()
    assert list(Projector(tmp_path).embeddings()) == ["fc epoch 000"]


def write_many(run: Path, name: str, together: Barrier) -> None:
    together.wait(100)
    for epoch in range(15):
        write_embedding(run, name, epoch, FEATURES + epoch, POINTS)


def test_two_processes_write_into_one_run(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(2)
    writers = [spawn.Process(target=write_many, args=(tmp_path / "run", name, together)) for name in ("left", "right")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(100)
        assert writer.exitcode == 0
    menu = Projector(tmp_path).embeddings()
    assert sorted(menu) == sorted(f"{name} epoch {epoch:03}" for name in ("left", "right") for epoch in range(15))


@pytest.mark.parametrize(
    ("features", "labels", "said"),
    [
        (FEATURES[0], None, r"\(N, D\), at least 2 by 2; got \(7,\)"),
        (FEATURES[:, :1], None, r"got \(10, 1\)"),
        (FEATURES, LABELS[:4], "10 features need as many labels; got 4"),
    ],
)
def test_what_the_projector_cannot_show_is_refused(tmp_path, features, labels, said):
    with pytest.raises(ValueError, match=said):
        write_embedding(tmp_path / "run", "fc", 0, features, ProjectorPoints("abcd", None, labels))
    assert not (tmp_path / "run").exists()
