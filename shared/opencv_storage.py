"""Reads YAML and XML as OpenCV's FileStorage writes it, without OpenCV. A matrix becomes a mapping with its fields."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import yaml

_DIRECTIVE = re.compile(r"\A%YAML.*")
"""OpenCV 3 and 4 write `%YAML:1.0`, which is no YAML."""
_ENTITIES = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
"""What lets a small file of XML become a large one."""


class StorageError(Exception):
    """The text is not as FileStorage writes it; the message says why."""


def parse_yaml(text: str) -> Any:
    """The content of YAML, also with the tags of FileStorage.

    Raises:
        StorageError: it cannot be parsed, or refers to itself.
    """
    try:
        return yaml.load(_DIRECTIVE.sub("", text.lstrip(), count=1), _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        where = f" (line {at.line + 1})" if at else ""
        raise StorageError(f"is not valid YAML: {error.problem or error.context}{where}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise StorageError(f"is not valid YAML: {error}") from None
    except RecursionError:
        raise StorageError("is not valid YAML: it is nested too deeply") from None


def parse_xml(text: str) -> Any:
    """The content of a file of XML by FileStorage.

    Raises:
        StorageError: it cannot be parsed, or is other XML.
    """
    if _ENTITIES.search(text):
        raise StorageError("is XML with a DOCTYPE or an ENTITY; remove them, OpenCV writes none")
    try:
        root = ElementTree.fromstring(text.lstrip())  # noqa: S314 (no entities)
        if root.tag != "opencv_storage":
            raise StorageError(f"is XML with <{root.tag}>, not <opencv_storage> as OpenCV's FileStorage writes it")
        return {part.tag: _value(part) for part in root}
    except ElementTree.ParseError as error:
        raise StorageError(f"is not valid XML: {error}") from None
    except RecursionError:
        raise StorageError("is not valid XML: it is nested too deeply") from None


class _Loader(yaml.SafeLoader):
    """Knows the tags `!!opencv-matrix` and `!!opencv-nd-matrix`, and no references, which multiply their content."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(problem="references (*name) are not understood")
        return super().compose_node(parent, index)


def _matrix(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(problem="a matrix has no fields", problem_mark=node.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("tag:yaml.org,2002:opencv-", _matrix)
# YAML 1.1 takes 1e-5, without a dot, for text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _value(element: ElementTree.Element) -> Any:
    """A mapping, a list, a number or text. Elements of lists are called `_`; numbers of lists need no element."""
    if len(element) and element[0].tag != "_" and not (element.text or "").strip():
        return {part.tag: _value(part) for part in element}
    found = [_scalar(word) for word in (element.text or "").split()]
    for part in element:
        found += [_value(part), *map(_scalar, (part.tail or "").split())]
    if len(element) == 0 and any(isinstance(one, str) for one in found):
        return (element.text or "").strip().strip('"')
    return found[0] if len(found) == 1 and len(element) == 0 else found


def _scalar(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word
