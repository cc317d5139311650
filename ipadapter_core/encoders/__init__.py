"""From images to the features that adapters read."""
