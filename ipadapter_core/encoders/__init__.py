"""From pictures to the features that adapters read."""
