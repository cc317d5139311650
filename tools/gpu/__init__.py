"""The acceptance run on a CUDA GPU, a bar for every figure; --device cpu --tiny tries the run itself, --bundle packs it."""
