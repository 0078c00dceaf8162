"""What needs tensors. Imported only inside the worker process."""
