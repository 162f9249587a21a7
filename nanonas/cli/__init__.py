"""cli: what a terminal shows and completes; commands/ stand on it, and app.py assembles them."""
