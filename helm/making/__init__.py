"""Makes what in the chart follows from others: the schema and the table of values, the CRDs, the user roles."""
