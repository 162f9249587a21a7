"""comparison: what several runs say together: statistics, a verdict, a page."""
