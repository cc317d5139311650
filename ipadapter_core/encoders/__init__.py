"""From images to the features that adapters read; `face/` has the face models."""
