// Folds advanced inputs away on the canvas, too ("Show Advanced" in a node's menu unfolds them). ComfyUI itself does so
// only where nodes are elements of the page.

import { app } from "../../scripts/app.js";

const OURS = /^IPAdapterCore/;

app.registerExtension({
  name: "IPAdapterCore.Folding",
  nodeCreated(node) {
    if (!OURS.test(node.comfyClass ?? "")) return;
    const folded = (node.widgets ?? []).filter((widget) => widget.options?.advanced);
    for (const widget of folded) widget.advanced = true;
    if (folded.length) node.setSize?.(node.computeSize());
  },
});
