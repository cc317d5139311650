// Folds advanced inputs away on the canvas, too ("Show Advanced" in a node's menu unfolds them). ComfyUI itself does so
// only where nodes are elements of the page; on the canvas it hides them, and keeps their room.

import { app } from "../../scripts/app.js";

const OURS = /^IPAdapterCore/;

/** Whether a widget has room on its node: unless it is folded away, or where a link leads to it all the same. */
function hasRoom(node, widget) {
  const linked = () => node.inputs?.some((slot) => slot.widget?.name === widget.name && slot.link != null);
  return !widget.advanced || node.showAdvanced || linked();
}

app.registerExtension({
  name: "IPAdapterCore.Folding",
  nodeCreated(node) {
    if (!OURS.test(node.comfyClass ?? "")) return;
    const folded = (node.widgets ?? []).filter((widget) => widget.options?.advanced);
    if (!folded.length) return;
    for (const widget of folded) widget.advanced = true;
    const all = node.getLayoutWidgets;
    if (all) {
      node.getLayoutWidgets = function () {
        return all.call(this).filter((widget) => hasRoom(this, widget));
      };
    }
    node.setSize?.(node.computeSize());
  },
});
