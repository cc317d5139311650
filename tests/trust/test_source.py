"""What SECURITY.md promises of the pack, read from its source: no network, no route, no process, no path out of a prompt."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.trust
ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([ROOT / "__init__.py", *(ROOT / "ipadapter_core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")])
IMPORTS = {
    # Python's own, none of which reaches beyond this process and its files
    "base64", "bisect", "collections", "contextlib", "copy", "dataclasses", "enum", "functools", "hashlib", "importlib",
    "inspect", "io", "itertools", "json", "logging", "math", "numbers", "operator", "os", "pathlib", "pickletools", "random",
    "re", "stat", "statistics", "string", "struct", "sys", "tempfile", "threading", "time", "types", "typing", "unicodedata",
    "uuid", "weakref", "zipfile", "zlib",
    # ComfyUI, and what it brings
    "comfy", "comfy_api", "comfy_execution", "folder_paths", "node_helpers", "nodes", "PIL", "einops", "kornia",
    "numpy", "safetensors", "scipy", "torch", "torchvision", "tqdm", "transformers",
    # where they are installed
    "bitsandbytes", "onnxruntime", "triton",
}  # fmt: skip
SAFELY = {  # who reads files: what each call has to say
    "load": {"weights_only": True},
    "load_torch_file": {"safe_load": True},
    "from_pretrained": {"local_files_only": True, "trust_remote_code": False},
}
NEVER = {
    "__import__", "system", "popen", "fork", "startfile", "load_library", "import_module", "Popen",
    "urlopen", "urlretrieve", "hf_hub_download", "snapshot_download", "load_state_dict_from_url", "download_url_to_file",
    "routes", "router", "add_routes", "add_static", "send_sync", "unsafe_load",
}  # fmt: skip
RUNNING = {"eval", "exec", "compile"}  # the builtins; a module's own `eval` is another thing
CONFINED = {
    "get_full_path_or_raise",
    "get_save_image_path",
    "get_filename_list",
}  # ComfyUI's, which stay in its folders
WRITERS = {  # every file that writes, and where to
    "ipadapter_core/adapter/whole_file.py": {"mkdir", "save_file"},  # where get_save_image_path said
    "ipadapter_core/encoders/siglip.py": {"write_text"},  # a folder of its own that is gone a line later
    "ipadapter_core/prompt/files.py": {"write_bytes"},  # where a node's get_save_image_path said
    "ipadapter_core/written_whole.py": {"open", "touch", "unlink"},  # where those that write say
    "nodes/compat/embeds.py": {"save"},  # where get_save_image_path said
}
WRITING = {
    "write_text",
    "write_bytes",
    "save_file",
    "mkdir",
    "unlink",
    "rename",
    "rmdir",
    "rmtree",
    "touch",
    "symlink_to",
}


def tree_of(file: Path) -> ast.Module:
    """A file's source."""
    return ast.parse(file.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    """The packages that are imported by name, at whatever depth of the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def called(node: ast.AST) -> str:
    """What a call calls, by its last name."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """All calls."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def unsafe(tree: ast.AST) -> list[str]:
    """Reads that do not say that nothing of a file may be run, and names that have no business here."""
    names = [getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(tree)]
    found = [name for name in names if name in NEVER]
    found += [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in RUNNING]
    for call in calls(tree):
        wanted = SAFELY.get(called(call), {})
        if called(call) == "load" and not ast.unparse(call.func).startswith(("torch.", "pickle.")):
            continue
        given = {one.arg: getattr(one.value, "value", None) for one in call.keywords}
        found += [ast.unparse(call) for key, value in wanted.items() if given.get(key) is not value]
    return found


def writes(tree: ast.AST) -> set[str]:
    """The names of calls that write a file."""
    found = {called(call) for call in calls(tree)} & WRITING
    found |= {"save" for call in calls(tree) if ast.unparse(call.func) == "torch.save"}
    opened = [call for call in calls(tree) if called(call) == "open"]
    modes = [one.value for call in opened for one in call.args + [key.value for key in call.keywords]
             if isinstance(one, ast.Constant)]  # fmt: skip
    return found | {"open" for mode in modes if set(str(mode)) & set("wax+")}


def paths_of_arguments(tree: ast.AST) -> list[str]:
    """Paths made of what a node or function was given, except by the functions that keep them in ComfyUI's folders."""
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        given = {one.arg for one in (*function.args.args, *function.args.kwonlyargs)} - {"self", "cls"}
        made = [call for call in calls(function) if called(call) in ("Path", "open", "joinpath") or _joins(call)]
        made += [node for node in ast.walk(function) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
                 and called(node.left) == "Path"]  # fmt: skip
        found += [ast.unparse(node) for node in made if _names(node) & given]
    return found


def _joins(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "os.path.join"


def _names(node: ast.AST) -> set[str]:
    """Names in an expression, but for what goes through `CONFINED`."""
    if called(node) in CONFINED:
        return set()
    own = {node.id} if isinstance(node, ast.Name) else set()
    return own.union(*(_names(child) for child in ast.iter_child_nodes(node)))


def broken_promises(file: Path) -> list[str]:
    """Everything in a file that SECURITY.md says is not there."""
    name, tree = file.relative_to(ROOT).as_posix(), tree_of(file)
    found = sorted(set(imported(tree)) - IMPORTS) + unsafe(tree) + sorted(writes(tree) - WRITERS.get(name, set()))
    return found + (paths_of_arguments(tree) if name.startswith("nodes/") else [])


def test_the_pack_keeps_its_promises():
    """Nothing is imported that could reach out, nothing in a file is run, nothing is written elsewhere."""
    found = {str(file.relative_to(ROOT)): broken for file in FILES if (broken := broken_promises(file))}
    assert len(FILES) > 100 and not found


@pytest.mark.parametrize(
    "line",
    [
        "import socket",
        "from urllib.request import urlopen",
        "def f():\n    import subprocess",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "comfy.utils.load_torch_file(path)",
        "AutoModel.from_pretrained(folder, trust_remote_code=True, local_files_only=True)",
        "os.system('ls')",
        "PromptServer.instance.routes.get('/x')",
        "eval(text)",
        "file.write_text('x')",
        "open(file, 'w')",
        "path.open(mode='ab')",
        "torch.save(x, path)",
        "def f(name):\n    return Path('models') / name",
        "def f(name):\n    return os.path.join(folder_paths.models_dir, name)",
        "def f(name):\n    return open(name)",
    ],
)
def test_a_broken_promise_is_seen(line):
    """The readers above, on what they are there to find."""
    tree = ast.parse(line)
    seen = set(imported(tree)) - IMPORTS or unsafe(tree) or writes(tree) or paths_of_arguments(tree)
    assert seen
