from collections.abc import Sequence
from enum import Enum
from typing import Any

from ._ui import UIOutput

class _Socket:
    @property
    def io_type(self) -> str: ...

class Input(_Socket):
    id: str
    display_name: str | None
    optional: bool
    tooltip: str | None
    advanced: bool | None
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict[str, Any] | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None: ...
    def get_all(self) -> list[Input]: ...

class Output(_Socket):
    id: str | None
    display_name: str | None
    tooltip: str | None
    is_output_list: bool
    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None: ...

_Input = Input
_Output = Output

class _Type:
    io_type: str
    class Output(_Output): ...

class ComfyTypeIO(_Type):
    class Input(_Input): ...

def Custom(io_type: str) -> type[ComfyTypeIO]: ...

class Model(ComfyTypeIO): ...
class Clip(ComfyTypeIO): ...
class ClipVision(ComfyTypeIO): ...
class Conditioning(ComfyTypeIO): ...
class Latent(ComfyTypeIO): ...
class Vae(ComfyTypeIO): ...
class Guider(ComfyTypeIO): ...
class Image(ComfyTypeIO): ...
class Mask(ComfyTypeIO): ...

class Boolean(_Type):
    class Input(_Input):
        default: bool
        def __init__(
            self,
            id: str,
            display_name: str | None = None,
            optional: bool = False,
            tooltip: str | None = None,
            lazy: bool | None = None,
            default: bool | None = None,
            *,
            advanced: bool | None = None,
        ) -> None: ...

class Int(_Type):
    class Input(_Input):
        default: int
        min: int
        max: int
        def __init__(
            self,
            id: str,
            display_name: str | None = None,
            optional: bool = False,
            tooltip: str | None = None,
            lazy: bool | None = None,
            default: int | None = None,
            min: int | None = None,
            max: int | None = None,
            step: int | None = None,
            control_after_generate: bool | None = None,
            *,
            force_input: bool | None = None,
            advanced: bool | None = None,
        ) -> None: ...

class Float(_Type):
    class Input(_Input):
        default: float
        min: float
        max: float
        def __init__(
            self,
            id: str,
            display_name: str | None = None,
            optional: bool = False,
            tooltip: str | None = None,
            lazy: bool | None = None,
            default: float | None = None,
            min: float | None = None,
            max: float | None = None,
            step: float | None = None,
            round: float | None = None,
            *,
            force_input: bool | None = None,
            advanced: bool | None = None,
        ) -> None: ...

class String(_Type):
    class Input(_Input):
        default: str
        def __init__(
            self,
            id: str,
            display_name: str | None = None,
            optional: bool = False,
            tooltip: str | None = None,
            lazy: bool | None = None,
            multiline: bool = False,
            placeholder: str | None = None,
            default: str | None = None,
            *,
            force_input: bool | None = None,
            advanced: bool | None = None,
        ) -> None: ...

class UploadType(str, Enum):
    image = ...

class Combo(_Type):
    class Input(_Input):
        default: str
        options: list[str]
        def __init__(
            self,
            id: str,
            options: Sequence[str] | type[Enum] | None = None,
            display_name: str | None = None,
            optional: bool = False,
            tooltip: str | None = None,
            lazy: bool | None = None,
            default: str | Enum | None = None,
            *,
            upload: UploadType | None = None,
            extra_dict: dict[str, Any] | None = None,
            advanced: bool | None = None,
        ) -> None: ...

class Curve(_Type):
    class Input(_Input): ...

class Autogrow:
    class TemplatePrefix:
        def __init__(self, input: Input, prefix: str, min: int = 1, max: int = 10) -> None: ...

    class Input(_Input):
        def __init__(
            self,
            id: str,
            template: Autogrow.TemplatePrefix,
            display_name: str | None = None,
            optional: bool = False,
            tooltip: str | None = None,
        ) -> None: ...

class DynamicCombo:
    class Option:
        key: str
        inputs: list[Input]
        def __init__(self, key: str, inputs: Sequence[Input]) -> None: ...

    class Input(_Input):
        options: list[DynamicCombo.Option]
        def __init__(
            self,
            id: str,
            options: Sequence[DynamicCombo.Option],
            display_name: str | None = None,
            optional: bool = False,
            tooltip: str | None = None,
        ) -> None: ...

class Hidden(str, Enum):
    prompt = ...
    extra_pnginfo = ...

class HiddenHolder:
    prompt: dict[str, Any] | None
    extra_pnginfo: dict[str, Any] | None

class NodeInfoV1:
    input: dict[str, dict[str, Any]]

class Schema:
    node_id: str
    display_name: str | None
    category: str
    description: str
    search_aliases: list[str]
    inputs: list[Input]
    outputs: list[Output]
    is_input_list: bool
    is_output_node: bool
    def __init__(
        self,
        node_id: str,
        display_name: str | None = None,
        category: str = "sd",
        inputs: Sequence[Input] | None = None,
        outputs: Sequence[Output] | None = None,
        hidden: Sequence[Hidden] | None = None,
        description: str = "",
        search_aliases: list[str] | None = None,
        is_input_list: bool = False,
        is_output_node: bool = False,
        is_deprecated: bool = False,
        is_experimental: bool = False,
        **more: Any,
    ) -> None: ...
    def get_v1_info(self, cls: type[ComfyNode]) -> NodeInfoV1: ...

class NodeOutput:
    args: tuple[Any, ...]
    ui: UIOutput | dict[str, Any] | None
    def __init__(self, *args: Any, ui: UIOutput | dict[str, Any] | None = None) -> None: ...

class ComfyNode:
    hidden: HiddenHolder
    @classmethod
    def define_schema(cls) -> Schema: ...
    @classmethod
    def execute(cls, *args: Any, **kwargs: Any) -> NodeOutput: ...
    @classmethod
    def GET_SCHEMA(cls) -> Schema: ...
    @classmethod
    def FINALIZE_SCHEMA(cls) -> Schema: ...

class NodeReplace:
    def __init__(
        self,
        new_node_id: str,
        old_node_id: str,
        old_widget_ids: list[str] | None = None,
        input_mapping: Sequence[dict[str, Any]] | None = None,
        output_mapping: Sequence[dict[str, Any]] | None = None,
    ) -> None: ...
