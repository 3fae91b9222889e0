"""WebBody: URL lists to cleaned identities with their bodies and faces."""
