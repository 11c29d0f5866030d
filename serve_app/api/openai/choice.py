"""Which model a request means."""

from __future__ import annotations

from configs.models import ModelSpec, ModelType
from serve_app.api.errors import InvalidRequest
from serve_app.api.openai.errors import invalid
from serve_app.api.openai.models import unknown_model
from serve_app.api.services import Services
from serve_app.api.validation import choose_default


def choose_image_model(services: Services, name: str | None) -> ModelSpec:
    """The model of that name, else the server's first. Raises NotFound, InvalidRequest."""
    return _named(services, name, "image")


def choose_clip_model(services: Services, name: str | None, *, animates: bool) -> ModelSpec:
    """The model that makes the clip. Raises NotFound, InvalidRequest.

    With a picture to begin with it must be one that animates pictures. This API's clients know one name for
    both, so the name of a text-to-video model then means its sibling: the image-to-video model that is named
    like it but for `i2v` in place of `t2v`, else the first of the same family.
    """
    kind: ModelType = "i2v" if animates else "t2v"
    if not name:
        return _named(services, None, kind)
    spec = _known(services, name)
    if animates and spec.type == "t2v":
        return _sibling(services, spec)
    if not animates and spec.type == "i2v":
        raise invalid(f"{name} animates a picture: send one as input_reference", "input_reference")
    return _named(services, name, kind)


def _sibling(services: Services, spec: ModelSpec) -> ModelSpec:
    line = spec.family.removesuffix("_t2v")
    siblings = {each.name: each for each in services.registry.of_type("i2v") if each.family == f"{line}_i2v"}
    if not siblings:
        names = ", ".join(each.name for each in services.registry.of_type("i2v")) or "none"
        raise invalid(f"{spec.name} animates no pictures. Models that do: {names}", "model")
    return siblings.get(spec.name.replace("t2v", "i2v"), next(iter(siblings.values())))


def _named(services: Services, name: str | None, kind: ModelType) -> ModelSpec:
    """The model of that name and type, without a name the server's first of the type."""
    if name:
        _known(services, name)
    try:
        return choose_default(services.registry, name, kind)
    except InvalidRequest as error:
        raise invalid(str(error), "model") from error


def _known(services: Services, name: str) -> ModelSpec:
    if name not in services.registry:
        raise unknown_model(services, name)
    return services.registry[name]
