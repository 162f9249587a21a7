"""spec: a search as YAML, checked as a whole; above the components whose settings it holds."""
