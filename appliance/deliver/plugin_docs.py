"""Reads the docstrings under the keys of a Config, which Python itself throws away."""

import ast
import inspect


def field_docs(source: str, class_name: str) -> dict[str, str]:
    """Key -> the string that stands under it, on one line each.

    Args:
        source: a plug-in's text, already accepted by the compiler.
        class_name: of its Config; an unknown one has no docs.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            return _of_class(node)
    return {}


def _of_class(node: ast.ClassDef) -> dict[str, str]:
    docs = {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            docs[field.target.id] = " ".join(inspect.cleandoc(below.value.value).split())
    return docs
