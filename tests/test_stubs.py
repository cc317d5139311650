"""The stubs of `typings/` speak of what is there: every name in them is one of the real module's."""

import ast
import importlib
from pathlib import Path

import pytest

pytestmark = pytest.mark.trust

TYPINGS = Path(__file__).parents[1] / "typings"
OURS = ("comfy", "comfy_api", "comfy_execution", "folder_paths", "node_helpers")  # ComfyUI's own, which change with it
STUBS = [path for path in sorted(TYPINGS.rglob("*.pyi")) if path.relative_to(TYPINGS).parts[0].split(".")[0] in OURS]


def functions(body: list[ast.stmt]) -> list[str]:
    """Names of functions and classes that are no stub's own helper."""
    return [one.name for one in body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]


@pytest.mark.parametrize("path", STUBS, ids=lambda path: str(path.relative_to(TYPINGS)))
def test_every_name_is_there(path):
    """Functions, classes and their methods; what an instance gets when it is made cannot be looked up."""
    name = ".".join(path.relative_to(TYPINGS).with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(name)
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for known in functions(body):
        if known.startswith("_") or known == "UIOutput":
            continue
        assert hasattr(module, known), f"{name} has no {known}"
    for one in body:
        if isinstance(one, ast.ClassDef) and hasattr(module, one.name):
            methods = [method for method in functions(one.body) if not method.startswith("__")]
            missing = [method for method in methods if not hasattr(getattr(module, one.name), method)]
            assert not missing, f"{name}.{one.name} has no {missing}"
