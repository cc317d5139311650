"""Our own socket types, and the categories of the nodes."""

from comfy_api.latest import io

IPAdapterSocket = io.Custom("IP_ADAPTER")
ImagePromptSocket = io.Custom("IMAGE_PROMPT")
LayerWeightsSocket = io.Custom("LAYER_WEIGHTS")
InsightFaceSocket = io.Custom("INSIGHTFACE")  # the type that other packs use too
WeightScheduleSocket = io.Custom("WEIGHT_SCHEDULE")
RunSocket = io.Custom("IP_ADAPTER_RUN")
SweepSocket = io.Custom("IP_ADAPTER_SWEEP")
LossSocket = io.Custom("LOSS_MAP")  # of ComfyUI's own trainer and its LossGraphNode

CATEGORY = "IP-Adapter Core"
INSPECT = f"{CATEGORY}/inspect"
TRAINING = f"{CATEGORY}/training"
