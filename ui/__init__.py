"""The page: Gradio here, no tensors."""
