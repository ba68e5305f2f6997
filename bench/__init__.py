"""Benchmarks of the whole product on this machine: they print figures and assert nothing (`make bench`)."""
