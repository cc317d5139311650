"""Our own socket types, and the category of every node."""

from comfy_api.latest import io

IPAdapterSocket = io.Custom("IP_ADAPTER")
ImagePromptSocket = io.Custom("IMAGE_PROMPT")
LayerWeightsSocket = io.Custom("LAYER_WEIGHTS")
WeightScheduleSocket = io.Custom("WEIGHT_SCHEDULE")

CATEGORY = "IP-Adapter Core"
