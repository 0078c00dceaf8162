"""Everything behind the page: requests, the queue, the library and the worker that draws."""
