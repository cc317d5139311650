"""What every family shares when it meets a ComfyUI model: wrappers, batch layout, kernels, torch.compile."""
