"""The routes of the tab, as ``http_api.md`` has them: read-only, and no name of a file ever comes from outside."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins.base_plugin import FrontendMetadata, TBContext, TBPlugin
from werkzeug.wrappers import Request, Response

from lightning_viz.plugin.blob_checks import is_png
from lightning_viz.plugin.runs import Runs, RunStore
from lightning_viz.plugin.serialize import Figures, described_run
from lightning_viz.plugin.summaries import Scope, Summaries
from lightning_viz.store import PLUGIN_NAME, SchemaError
from lightning_viz.store.schema import portable

__all__ = ["LightningVizPlugin"]

STATIC = Path(__file__).parent / "static"

_STATIC_TYPES = {".js": "text/javascript", ".css": "text/css"}
_BLOB_TYPES = {"picture": "image/png", "values": "application/octet-stream"}
_DAY = 24 * 3600
_YEAR = 365 * _DAY

log = logging.getLogger("tensorboard")


class RequestError(Exception):
    """A request that gets no answer but a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Answer(NamedTuple):
    """What a route answers."""

    content: bytes | str
    content_type: str = "application/json"
    expires: int = 0
    """For how many seconds the browser need not ask again."""
    code: int = 200


class LightningVizPlugin(TBPlugin):  # type: ignore[misc]  # TensorBoard has no types
    """The tab: every epoch of every run from the stores, and beside them what TensorBoard has read itself."""

    plugin_name = PLUGIN_NAME

    def __init__(self, context: TBContext) -> None:
        """Read nothing yet: TensorBoard starts with this."""
        super().__init__(context)
        self._runs = Runs(context)
        self._summaries = Summaries(context)

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        """Name the routes, below ``data/plugin/lightning_viz``."""
        routes = {
            "/runs": self._answer_runs,
            "/records": self._answer_records,
            "/blob": self._answer_blob,
            "/probe_image": self._answer_probe_image,
            "/scalar_tags": self._answer_scalar_tags,
            "/scalars": self._answer_scalars,
            "/kept_images": self._answer_kept_images,
            "/kept_image": self._answer_kept_image,
            "/static/*": _answer_static,
        }
        return {route: _application(answer) for route, answer in routes.items()}

    def is_active(self) -> bool:
        """Leave it to TensorBoard, which finds our marker among a run's summaries without a look at the disk."""
        return False

    def frontend_metadata(self) -> FrontendMetadata:
        """Name the tab and the module that draws it."""
        return FrontendMetadata(es_module_path="/static/index.js", tab_name="Lightning Viz")

    def _answer_runs(self, request: Request) -> Answer:
        scope = _scope(request)
        names = self._summaries.runs(scope)
        stores = {name: store.figures() for name in names if (store := self._runs.store(name)) is not None}
        full = {name: figures for name, figures in stores.items() if not figures.is_empty}
        with_images = self._summaries.runs_with_images(scope) if len(full) < len(names) else set()
        runs = [
            described_run(name, full[name]) if name in full else described_run(name, Figures(), "images")
            for name in names
            if name in full or name in with_images
        ]
        return _as_json({"runs": runs})

    def _answer_records(self, request: Request) -> Answer:
        store, after = self._store(request), _whole_number(request, "after", "0")
        return Answer(b'{"records": [' + b", ".join(store.lines(after)) + b"]}")

    def _answer_blob(self, request: Request) -> Answer:
        store, seq, number = self._store(request), _whole_number(request, "seq"), _whole_number(request, "item")
        try:
            item, content = store.blob(seq, number)
        except LookupError:
            raise RequestError(404, f"Record {seq} has no item {number}, or there is no such record.") from None
        except FileNotFoundError:
            raise RequestError(404, f"The file of item {number} of record {seq} is missing.") from None
        except (OSError, SchemaError) as error:
            raise RequestError(404, f"The file of item {number} of record {seq} can't be shown: {error}.") from None
        return Answer(content, _BLOB_TYPES[item.kind], expires=_YEAR)

    def _answer_probe_image(self, request: Request) -> Answer:
        store, probe, number = self._store(request), _argument(request, "probe"), _whole_number(request, "image")
        if not re.fullmatch(r"[0-9a-f]{16}", probe):
            raise RequestError(400, 'Argument "probe" is not sixteen hexadecimal digits.')
        if number < 0:
            raise RequestError(400, 'Argument "image" is negative.')
        try:
            content = store.probe_image(probe, number)
        except FileNotFoundError:
            raise RequestError(404, f"The store has no image {number} of probe {probe}.") from None
        except (OSError, SchemaError) as error:
            raise RequestError(404, f"Image {number} of probe {probe} can't be shown: {error}.") from None
        return Answer(content, "image/png", expires=_YEAR)

    def _answer_scalar_tags(self, request: Request) -> Answer:
        return _as_json({"tags": self._summaries.scalar_tags(_scope(request), self._run(request))})

    def _answer_scalars(self, request: Request) -> Answer:
        run, tag = self._run(request), _argument(request, "tag")
        series = self._summaries.scalars(_scope(request), run, tag)
        if series is None:
            raise RequestError(404, f'Run "{run}" has no scalars "{tag}".')
        steps, values = series
        return _as_json({"steps": steps, "values": values})

    def _answer_kept_images(self, request: Request) -> Answer:
        images = self._summaries.images(_scope(request), self._run(request))
        return _as_json({"images": images, "limit": self._summaries.limit})

    def _answer_kept_image(self, request: Request) -> Answer:
        try:
            content = self._summaries.image(_scope(request), _argument(request, "key"))
        except KeyError:
            raise RequestError(404, "No such image; TensorBoard may have dropped it for a newer one.") from None
        if not is_png(content):
            raise RequestError(404, "Not a PNG.")
        return Answer(content, "image/png")

    def _run(self, request: Request) -> str:
        run = _argument(request, "run")
        if run not in self._summaries.runs(_scope(request)):
            raise RequestError(404, f'TensorBoard knows no run "{run}".')
        return run

    def _store(self, request: Request) -> RunStore:
        run = self._run(request)
        store = self._runs.store(run)
        if store is None:
            raise RequestError(404, f'The folder of run "{run}" is not known: TensorBoard reads from a server.')
        return store


def _answer_static(request: Request) -> Answer:
    """Serve a module or style; what is asked for is only ever compared with the names that are there."""
    name = request.path.partition("/static/")[2]
    if name not in _static_files:  # listed once, and again for one that somebody has added since
        found = (path for path in STATIC.rglob("*") if path.suffix in _STATIC_TYPES)
        _static_files.update({path.relative_to(STATIC).as_posix(): path for path in found})
    path = _static_files.get(name)
    if path is None or not path.is_file():
        raise RequestError(404, "No such module or style.")
    # Vendored files have their version in the name; ours are asked for anew, so that an edit shows after a reload.
    return Answer(path.read_bytes(), _STATIC_TYPES[path.suffix], _DAY if name.startswith("vendor/") else 0)


_static_files: dict[str, Path] = {}


def _application(answer: Callable[[Request], Answer]) -> Callable[..., Any]:
    """Make a WSGI application of a route; whatever happens, it answers with a content type and ``nosniff``."""

    @Request.application
    def application(request: Request) -> Response:
        content, content_type, expires, code = _attempt(answer, request)
        headers = [("Allow", "GET")] if code == 405 else []
        response: Response = http_util.Respond(request, content, content_type, code, expires, headers=headers)
        return response

    return application


def _attempt(answer: Callable[[Request], Answer], request: Request) -> Answer:
    try:
        if request.method != "GET":
            raise RequestError(405, "This tab only reads: GET.")
        return answer(request)
    except RequestError as error:
        return _failure(error.code, str(error))
    except errors.PublicError as error:
        return _failure(error.http_code, str(error))
    except Exception:
        log.exception("lightning_viz: %s failed.", request.path)
        return _failure(500, "This is a defect; TensorBoard's log says more.")


def _failure(code: int, reason: str) -> Answer:
    return _as_json({"error": reason})._replace(code=code)


def _as_json(content: dict[str, Any]) -> Answer:
    return Answer(json.dumps(portable(content), allow_nan=False))


def _scope(request: Request) -> Scope:
    return Scope(plugin_util.context(request.environ), plugin_util.experiment_id(request.environ))


def _argument(request: Request, name: str, default: str | None = None) -> str:
    try:
        value = request.args.get(name, default)
    except UnicodeDecodeError:
        raise RequestError(400, "The query is not UTF-8.") from None
    if value is None:
        raise RequestError(400, f'Argument "{name}" is missing.')
    return value


def _whole_number(request: Request, name: str, default: str | None = None) -> int:
    value = _argument(request, name, default)
    if not re.fullmatch(r"-?[0-9]{1,15}", value):
        raise RequestError(400, f'Argument "{name}" is not a whole number.')
    return int(value)
