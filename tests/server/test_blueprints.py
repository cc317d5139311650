"""Blueprints in ComfyUI's own frontend: they are offered, open whole, make the image of their single nodes, and unpack."""

import json
from collections import Counter

import pytest
from comfy_cli.workflow_to_api import convert_ui_to_api
from pack.tools.comfyui.browser import Frontend
from pack.tools.comfyui.client import ComfyClient
from pack.tools.demo.picture_grid import pixels
from pack.tools.environment import ROOT
from pack.tools.workflows.blueprints import BLUEPRINTS, character, image_prompt, style_from_image, two_regions
from pack.tools.workflows.graph import Graph, Output
from pack.tools.workflows.subgraph import Blueprint, blueprint_file, definition, whole

pytestmark = [pytest.mark.seeing, pytest.mark.browser, pytest.mark.server]

ADAPTER = {"name": "demo_world_ip_adapter.safetensors", "url": "", "directory": "ipadapter"}
REFERENCES = ("image", "images", "inside", "outside")


@pytest.fixture(scope="module")
def client(server):
    """A client of the shared server."""
    return ComfyClient(server.url)


@pytest.fixture(scope="module")
def frontend(server):
    """One page for all."""
    with Frontend(server.url) as page:
        yield page


def in_the_demo_world(build) -> Blueprint:
    """The blueprint with the demo's adapter and encoder inside."""
    blueprint = build(ADAPTER)
    loader = next(node for node in blueprint.graph.nodes if node.kind == "CLIPVisionLoader")
    loader.kind, loader.inputs, loader.models = "DemoWorldLoad", {}, []
    for node in blueprint.graph.nodes:
        if node.kind == "IPAdapterCoreLayerWeights":
            node.inputs["preset"] = "ease in"  # the demo's model has none of the blocks that are known for style
        node.inputs = {
            key: Output(loader, 3) if isinstance(one, Output) and one.node is loader else one
            for key, one in node.inputs.items()
        }
    return blueprint


def painted(steer) -> Graph:
    """A star in the demo world, its model steered by `steer(graph, model, given)`."""
    graph = Graph()
    world = graph.add("DemoWorldLoad")
    first = graph.add("DemoWorldPicture", shape="circle", seed=11, object_colour="yellow", background_colour="blue")
    second = graph.add("DemoWorldPicture", shape="square", seed=12, object_colour="red", background_colour="green")
    given = {"model": world[0], "mask": first[2]}
    given |= {name: (second if name == "outside" else first)[0] for name in REFERENCES}
    model = steer(graph, given)
    texts = [graph.add("CLIPTextEncode", clip=world[1], text=text)[0] for text in ("a star", "")]
    blank = graph.add("EmptyChromaRadianceLatentImage", width=64, height=64, batch_size=1)
    sampled = graph.add(
        "KSampler", model=model, seed=1, steps=4, cfg=2.0, sampler_name="euler", scheduler="simple", positive=texts[0],
        negative=texts[1], latent_image=blank[0], denoise=1.0,
    )  # fmt: skip
    graph.add(
        "SaveImage", images=graph.add("VAEDecode", samples=sampled[0], vae=world[2])[0], filename_prefix="blueprint"
    )
    return graph


def as_one_node(blueprint: Blueprint, info: dict) -> dict:
    """The workflow in which one node stands for the blueprint."""
    sockets = {socket.name: [socket.type, {}] for socket in blueprint.inputs}
    known = {"input": {"required": sockets}, "output": ["MODEL"], "output_name": ["MODEL"]}

    def steer(graph, given):
        return graph.add(blueprint.id, **{name: given[name] for name in sockets})[0]

    workflow = painted(steer).workflow(info | {blueprint.id: known})
    node = next(node for node in workflow["nodes"] if node["type"] == blueprint.id)
    node["properties"] = whole(blueprint, node["id"])["properties"]
    return workflow | {"definitions": {"subgraphs": [definition(blueprint, info)]}}


def as_single_nodes(blueprint: Blueprint) -> Graph:
    """The same workflow with the nodes themselves."""

    def steer(graph, given):
        made = {}
        for node in blueprint.graph.nodes:
            inputs = {
                key: _outside(blueprint, one, given, made) if isinstance(one, Output) else one
                for key, one in node.inputs.items()
            }
            made[node.number] = graph.add(node.kind, **inputs)
        (_, end), *_ = blueprint.outputs
        return made[end.node.number][end.slot]

    return painted(steer)


def _outside(blueprint, value, given, made):
    if value.node.number in made:
        return made[value.node.number][value.slot]
    return given[blueprint.inputs[value.slot].name]


def plain(client, graph: Graph) -> dict:
    """The prompt of a workflow of single nodes, what is not set as the nodes have it."""
    return convert_ui_to_api(graph.workflow(client.object_info()), client.object_info())


def image_of(client, prompt) -> bytes:
    """The pixels that a prompt ends in."""
    outputs = client.run(prompt)
    saved = next(number for number, node in prompt.items() if node["class_type"] == "SaveImage")
    return pixels(client.picture(outputs[saved]["images"][0])).tobytes()


def prompt_of(frontend) -> dict:
    """What the frontend would queue for the open workflow."""
    return frontend.page.evaluate("async () => (await window.app.graphToPrompt()).output")


def test_the_files_are_what_the_source_says(client):
    """`dev.py workflows` would change nothing, and there is no other file."""
    info = client.object_info()
    files = {file.stem: json.loads(file.read_text()) for file in (ROOT / "subgraphs").glob("*.json")}
    assert files == {build().name: blueprint_file(build(), info) for build in BLUEPRINTS}


def test_comfyui_offers_them(client):
    """Under the pack's name, among its own."""
    offered = [one for one in client.get("/global_subgraphs").values() if one["source"] == "custom_node"]
    assert {one["name"] for one in offered} >= {build().name for build in BLUEPRINTS}


@pytest.mark.parametrize("build", BLUEPRINTS)
def test_a_blueprint_opens_whole(build, frontend, client):
    """The file as it is: one node of that name with its widgets; inside, every node is known and every link stands."""
    blueprint = build()
    frontend.open(blueprint_file(blueprint, client.object_info()))
    assert not frontend.errors
    found = frontend.page.evaluate(
        "() => window.app.graph.nodes.map(node => [node.title, node.inputs.length, node.widgets.map(one => one.name),"
        " node.subgraph.nodes.map(one => [one.type, !!window.LiteGraph.registered_node_types[one.type]]),"
        " [...(node.subgraph.links ?? node.subgraph._links).values()].map(one => [one.origin_id, one.target_id].map("
        " id => node.subgraph.getNodeById(id)?.type ?? `${id}`))])"
    )
    [[title, sockets, widgets, inside, links]] = found
    assert title == blueprint.name and sockets >= len(blueprint.inputs)
    assert widgets == [name for _, name in blueprint.widgets]
    assert inside == [[node.kind, True] for node in blueprint.graph.nodes]
    kinds = {node.number: node.kind for node in blueprint.graph.nodes}
    ours = definition(blueprint, client.object_info())["links"]
    ends = [tuple(kinds.get(one[end], str(one[end])) for end in ("origin_id", "target_id")) for one in ours]
    assert not Counter(ends) - Counter(map(tuple, links))  # the frontend adds one for each widget that is shown outside


@pytest.mark.parametrize("build", [image_prompt, style_from_image, character, two_regions])
def test_a_blueprint_makes_the_image_of_its_nodes(build, frontend, client):
    """To the byte, through the prompt that the frontend makes; with a weight of 0 from outside, that of the bare model."""
    blueprint = in_the_demo_world(build)
    frontend.open(as_one_node(blueprint, client.object_info()))
    assert frontend.problems() == []
    found = image_of(client, prompt_of(frontend))
    assert found == image_of(client, plain(client, as_single_nodes(blueprint)))
    bare = image_of(client, plain(client, painted(lambda graph, given: given["model"])))
    assert found != bare
    frontend.page.evaluate(
        "title => { const node = window.app.graph.nodes.find(node => node.type === title);"
        " node.widgets.find(one => one.name === 'weight').value = 0; }",
        blueprint.id,
    )
    assert image_of(client, prompt_of(frontend)) == bare


def test_a_blueprint_unpacks_into_the_single_nodes(frontend, client):
    """The same image comes of them."""
    blueprint = in_the_demo_world(image_prompt)
    frontend.open(as_one_node(blueprint, client.object_info()))
    whole_image = image_of(client, prompt_of(frontend))
    frontend.page.evaluate(
        "kind => { const graph = window.app.graph; graph.unpackSubgraph(graph.nodes.find(node => node.type === kind)); }",
        blueprint.id,
    )
    kinds = frontend.page.evaluate("() => window.app.graph.nodes.map(node => node.type)")
    assert blueprint.id not in kinds and {node.kind for node in blueprint.graph.nodes} <= set(kinds)
    assert image_of(client, prompt_of(frontend)) == whole_image
