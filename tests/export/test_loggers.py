import json
import math
import struct
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

from lightning_viz.export.loggers import log_picture, log_scalars, mark_run, run_folder
from lightning_viz.render import encode_png

PACKAGES = ("pytorch_lightning.loggers", "lightning.pytorch.loggers")
TAG = "viz/filters/features.0"
STEP = 7
PICTURE = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
DARK = PICTURE // 128


@pytest.fixture(params=PACKAGES)
def loggers(request):
    return import_module(request.param)


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """The same pictures and scalars, handed to all loggers at once."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WANDB_MODE", "offline")
        environment.setenv("WANDB_SILENT", "true")
        environment.setenv("WANDB_CONSOLE", "off")
        environment.chdir(folder)
        kinds = import_module("pytorch_lightning.loggers")
        all_loggers = SimpleNamespace(
            wandb=kinds.WandbLogger(save_dir=folder, project="test", offline=True),
            csv=kinds.CSVLogger(folder / "csv"),
            board=kinds.TensorBoardLogger(folder / "board"),
            mlflow=kinds.MLFlowLogger(
                "test", tracking_uri=f"sqlite:///{folder}/mlflow.db", artifact_location=str(folder / "artifacts")
            ),
        )
        for logger in vars(all_loggers).values():
            log_picture(logger, TAG, PICTURE, encode_png(PICTURE), STEP, "the caption")
            log_picture(logger, f"{TAG}/dark", DARK, encode_png(DARK), STEP + 1, "in the dark")
            log_scalars(logger, {f"{TAG}/max": 2.5}, STEP)
            logger.save()
        all_loggers.wandb.experiment.finish()
    return all_loggers


def read_board(folder: str | Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0, "scalars": 0}).Reload()


def pixels(content: bytes | Path) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content) if isinstance(content, bytes) else content))


def plugin_runs(folder: Path) -> dict[str, dict[str, bytes]]:
    board = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    return board.PluginRunToTagToContent("lightning_viz")


def wandb_history(folder: Path) -> list[dict[str, object]]:
    """What W&B's file holds; one block of LevelDB's log format: checksum, length, kind (1: whole), record."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    content, place, rows = file.read_bytes(), 7, []
    assert len(content) < 32768
    while place < len(content):
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        assert kind == 1
        record = Record.FromString(content[place + 7 : place + 7 + length])
        place += 7 + length
        if record.HasField("history"):
            items = record.history.item
            rows.append({item.key or "|".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


def test_tensorboard_has_the_pixels_and_the_step(loggers, tmp_path):
    board = loggers.TensorBoardLogger(tmp_path)
    for step in (0, STEP):
        log_picture(board, TAG, PICTURE + np.uint8(step), encode_png(PICTURE + np.uint8(step)), step, "")
    log_scalars(board, {f"{TAG}/max": 2.5, f"{TAG}/nan": math.nan}, STEP)
    board.save()
    events = read_board(board.log_dir)
    assert [image.step for image in events.Images(TAG)] == [0, STEP]
    for image in events.Images(TAG):
        assert np.array_equal(pixels(image.encoded_image_string), PICTURE + np.uint8(image.step))
    assert [(scalar.step, scalar.value) for scalar in events.Scalars(f"{TAG}/max")] == [(STEP, 2.5)]
    assert math.isnan(events.Scalars(f"{TAG}/nan")[0].value)


def test_several_loggers_get_the_same_and_tensorboard_is_one_of_them(mirrored):
    events = read_board(mirrored.board.log_dir)
    assert np.array_equal(pixels(events.Images(TAG)[0].encoded_image_string), PICTURE)
    assert np.array_equal(pixels(events.Images(f"{TAG}/dark")[0].encoded_image_string), DARK)
    assert events.Scalars(f"{TAG}/max")[0].step == STEP


def test_wandb_has_the_pixels_the_caption_and_the_step(mirrored):
    folder = Path(mirrored.wandb.save_dir)
    rows = {row["trainer/global_step"]: row for row in wandb_history(folder) if any("captions" in key for key in row)}
    assert rows.keys() == {STEP, STEP + 1}
    for step, tag, picture, caption in (
        (STEP, TAG, PICTURE, "the caption"),
        (STEP + 1, f"{TAG}/dark", DARK, "in the dark"),
    ):
        assert rows[step][f"{tag}|captions"] == [caption]
        (name,) = rows[step][f"{tag}|filenames"]
        (file,) = folder.glob(f"wandb/offline-run-*/files/{name}")
        assert np.array_equal(pixels(file), picture)


def test_wandb_has_the_scalars(mirrored):
    rows = wandb_history(Path(mirrored.wandb.save_dir))
    assert [row["trainer/global_step"] for row in rows if row.get(f"{TAG}/max") == 2.5] == [STEP]


def test_mlflow_has_the_pixels_and_the_step(mirrored, tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(mirrored.mlflow._tracking_uri)
    paths = [entry.path for entry in client.list_artifacts(mirrored.mlflow.run_id, "images")]
    for step, tag, picture in ((STEP, TAG, PICTURE), (STEP + 1, f"{TAG}/dark", DARK)):
        start = f"images/{tag.replace('/', '~')}+step+{step}+"
        (path,) = [path for path in paths if path.startswith(start) and path.endswith(".png")]
        local = client.download_artifacts(mirrored.mlflow.run_id, path, str(tmp_path))
        assert np.array_equal(pixels(Path(local)), picture)


def test_mlflow_has_the_scalars(mirrored):
    from mlflow import MlflowClient

    client = MlflowClient(mirrored.mlflow._tracking_uri)
    history = client.get_metric_history(mirrored.mlflow.run_id, f"{TAG}/max")
    assert [(metric.step, metric.value) for metric in history] == [(STEP, 2.5)]


def test_a_csv_logger_is_left_alone(mirrored):
    assert mirrored.csv.experiment.metrics == []
    assert not list(Path(mirrored.csv.log_dir).rglob("*.png"))


def test_no_scalars_make_no_row(loggers, tmp_path):
    logger = loggers.CSVLogger(tmp_path)
    log_scalars(logger, {}, STEP)
    assert logger.experiment.metrics == []


def test_a_subclass_of_a_logger_is_one(loggers, tmp_path):
    board = type("MyLogger", (loggers.TensorBoardLogger,), {})(tmp_path)
    log_picture(board, TAG, PICTURE, encode_png(PICTURE), STEP, "")
    board.save()
    assert read_board(board.log_dir).Tags()["images"] == [TAG]
    assert run_folder([board], "root") == Path(board.log_dir)


def test_the_run_is_where_tensorboard_logs_wherever_its_logger_stands(loggers, tmp_path):
    board = loggers.TensorBoardLogger(tmp_path / "board", name="name", version="v3", sub_dir="sub")
    others = [loggers.CSVLogger(tmp_path / "csv"), loggers.WandbLogger(save_dir=tmp_path, offline=True)]
    for place in range(3):
        assert run_folder([*others[:place], board, *others[place:]], str(tmp_path)) == tmp_path / "board/name/v3/sub"
    log_picture(board, TAG, PICTURE, encode_png(PICTURE), STEP, "")
    assert list(run_folder([board], "root").glob("events.out.tfevents.*"))


def test_without_tensorboard_the_run_is_where_csv_logs(loggers, tmp_path):
    table = loggers.CSVLogger(tmp_path / "csv", name="name", version=2)
    wandb = loggers.WandbLogger(save_dir=tmp_path, offline=True)
    assert run_folder([wandb, table], str(tmp_path)) == tmp_path / "csv/name/version_2"


def test_with_other_loggers_the_run_is_numbered_where_they_save(loggers, tmp_path):
    wandb = loggers.WandbLogger(save_dir=tmp_path / "saved", offline=True)
    assert run_folder([wandb], str(tmp_path / "root")) == tmp_path / "saved/lightning_viz/version_0"


def test_without_loggers_each_run_has_the_next_number(tmp_path):
    for number in range(3):
        run = run_folder([], str(tmp_path))
        assert run == tmp_path / f"lightning_viz/version_{number}"
        assert run.is_dir()
    for name in ("version_11", "version_x", "other_99"):
        (tmp_path / "lightning_viz" / name).mkdir()
    assert run_folder([], str(tmp_path)) == tmp_path / "lightning_viz/version_12"


def test_a_remote_logger_leaves_the_run_to_a_local_one(loggers, tmp_path):
    remote = loggers.TensorBoardLogger("memory://bucket", version=0)
    table = loggers.CSVLogger(tmp_path / "csv", version=0)
    assert run_folder([remote, table], str(tmp_path)) == Path(table.log_dir)
    assert run_folder([remote], str(tmp_path)) == tmp_path / "lightning_viz/version_0"


def test_a_logger_that_saves_nowhere_leaves_the_run_to_the_trainer(mirrored, tmp_path):
    assert run_folder([mirrored.mlflow], str(tmp_path)) == tmp_path / "lightning_viz/version_0"


def test_a_marked_run_is_listed_by_tensorboard_through_its_own_logger(loggers, tmp_path):
    board = loggers.TensorBoardLogger(tmp_path, name="run", version="")
    others = [loggers.CSVLogger(tmp_path / "csv"), board]
    mark_run(others, Path(board.log_dir), "lightning_viz")
    board.save()
    assert plugin_runs(tmp_path) == {"run": {"lightning_viz": b""}}
    assert len(list(Path(board.log_dir).glob("events*"))) == 1


def test_a_marked_run_is_listed_by_tensorboard_without_its_logger(loggers, tmp_path):
    for _ in range(2):
        mark_run([loggers.CSVLogger(tmp_path / "csv")], tmp_path / "run", "lightning_viz")
    assert plugin_runs(tmp_path) == {"run": {"lightning_viz": b""}}
    assert len(list((tmp_path / "run").iterdir())) == 1
