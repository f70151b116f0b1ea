"""What people do with a running pipeline: look at it, and drain a queue by hand."""
