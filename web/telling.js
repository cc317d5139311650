// Shows in the nodes what is known of their files before anything runs, and pairs that cannot work. What there is to tell
// comes with the definitions of the loader nodes (nodes/telling.py), so that nothing is asked of the server.

import { app } from "../../scripts/app.js";

const WIDGET = "told";
const HEIGHT = { IPAdapterCoreLoad: 86, IPAdapterCoreLoadPreset: 86 };
const OTHERS = 8; // and whatever room the node has
const REFERENCE = "IPAdapterCoreEncode";
const FACE = "IPAdapterCoreEncodeFace";
const ENCODERS = { CLIPVisionLoader: "clip_name", IPAdapterCoreLoadEncoder: "encoder_name" };
const NODES = { [REFERENCE]: "Encode Reference Image", [FACE]: "Encode Face" };
const TELLERS = {
  IPAdapterCoreLoad: (node) => adapters()[value(node, "ip_adapter_name")]?.text ?? "",
  IPAdapterCoreLoadPreset: (node) => definition("IPAdapterCoreLoadPreset", "preset")[value(node, "preset")] ?? "",
  [FACE]: (node) => tellOfEncoding(node),
  IPAdapterCoreApply: tellOfApplying,
};
const definitions = {};
let waiting = false;

const definition = (kind, input) => definitions[kind]?.input?.required?.[input]?.[1]?.told ?? {};
const adapters = () => definition("IPAdapterCoreLoad", "ip_adapter_name").adapters ?? {};
const value = (node, name) => node.widgets?.find((widget) => widget.name === name)?.value;

function source(node, name) {
  const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
  return slot < 0 ? null : node.getInputNode?.(slot);
}

// The file that a node's ip_adapter comes from, and what is known of it.
function adapterOf(node) {
  const loader = source(node, "ip_adapter");
  if (loader?.comfyClass !== "IPAdapterCoreLoad") return null;
  const name = value(loader, "ip_adapter_name");
  const known = adapters()[name];
  return known ? { name, ...known } : null;
}

function encoderProblem(node, adapter) {
  if (!adapter.encoders) return "";
  const loader = source(node, "clip_vision");
  if (!loader) return `connect clip_vision: ${adapter.encoder}`;
  const name = value(loader, ENCODERS[loader.comfyClass]);
  const known = definition("IPAdapterCoreLoad", "ip_adapter_name").encoders ?? [];
  if (!known.includes(name) || adapter.encoders.includes(name)) return "";
  return `⚠ ${name} does not fit: ${adapter.name} needs ${adapter.encoder}`;
}

function encodingProblem(node, adapter) {
  const own = NODES[node.comfyClass];
  if (adapter.node !== own) return `⚠ ${adapter.name} is not for ${own}: use ${adapter.node}`;
  return encoderProblem(node, adapter);
}

function tellOfEncoding(node) {
  const adapter = adapterOf(node);
  return adapter ? encodingProblem(node, adapter) || `${adapter.kind}\n${adapter.encoder}` : "";
}

function tellOfApplying(node) {
  const adapter = adapterOf(node);
  if (!adapter) return "";
  const encoding = source(node, "image_prompt");
  const other = encoding?.comfyClass in NODES ? adapterOf(encoding) : null;
  if (other && other.name !== adapter.name)
    return `⚠ the image prompt was encoded for ${other.name}, not for ${adapter.name}`;
  const problem = other ? encodingProblem(encoding, adapter) : "";
  return problem || `${adapter.kind}\nfor a model of this kind alone`;
}

function everyNode(graph) {
  const nodes = graph?.nodes ?? [];
  return nodes.concat(...nodes.map((node) => (node.subgraph ? everyNode(node.subgraph) : [])));
}

function tellAll() {
  waiting = false;
  for (const node of everyNode(app.rootGraph ?? app.graph)) {
    const widget = node.widgets?.find((one) => one.name === WIDGET);
    if (widget) widget.value = node.toldByRun ?? TELLERS[node.comfyClass](node);
  }
}

function soon() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(tellAll);
}

// Calls `then` after a method or callback of an object, whatever that was before.
function after(object, name, then) {
  const before = object[name];
  object[name] = function (...given) {
    const made = before?.apply(this, given);
    then(...given);
    return made;
  };
}

function addText(node) {
  const element = document.createElement("div");
  const colour = "var(--input-text, #ccc)";
  element.className = "ipadapter-core-told";
  element.style.cssText = `white-space: pre-wrap; overflow: auto; font-size: 11px; line-height: 1.2; color: ${colour};
    padding: 2px 6px; user-select: text; overflow-wrap: anywhere;`;
  const widget = node.addDOMWidget(WIDGET, "told", element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => HEIGHT[node.comfyClass] ?? OTHERS,
    getValue: () => element.textContent,
    setValue: (text) => (element.textContent = text),
  });
  widget.serialize = false;
  after(node, "onExecuted", (output) => {
    if (!output?.text || node.comfyClass === "IPAdapterCoreLoad") return; // a run knows no more of it
    node.toldByRun = output.text.join("\n");
    soon();
  });
}

function watch(node) {
  const changed = () => {
    for (const one of everyNode(app.rootGraph ?? app.graph)) delete one.toldByRun;
    soon();
  };
  for (const widget of node.widgets ?? []) if (widget.name !== WIDGET) after(widget, "callback", changed);
  after(node, "onConnectionsChange", changed);
}

app.registerExtension({
  name: "IPAdapterCore.Telling",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name in TELLERS) definitions[nodeData.name] = nodeData;
  },
  refreshComboInNodes(defs) {
    for (const name of Object.keys(definitions)) if (defs?.[name]) definitions[name] = defs[name];
    soon();
  },
  nodeCreated(node) {
    const told = node.comfyClass in TELLERS;
    if (told) addText(node);
    if (told || node.comfyClass in ENCODERS || node.comfyClass === REFERENCE) watch(node);
    if (told) node.setSize?.(node.computeSize());
    soon();
  },
  afterConfigureGraph: soon,
});
