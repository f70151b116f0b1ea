"""What a deployment needs besides the package."""
