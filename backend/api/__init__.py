"""The routes that programs and the page use."""
