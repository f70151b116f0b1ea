"""Start-up checks: what is set so that it will go wrong later, said before it does."""
