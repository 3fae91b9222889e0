"""The Postgres table of pose templates, and the embedded Postgres that serves where no other is given."""
