"""Who is who: neighbours, calibration, linkage, persistent identities, cleaning and splits."""
