"""Layouts that consumers read: the seed's folders, Parquet for `datasets`, published previews."""
