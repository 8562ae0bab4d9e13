"""The suites. Each module has `rows(threads)`, which yields measured rows."""
