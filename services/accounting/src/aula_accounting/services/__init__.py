"""The decisions; transactions begin and end here."""
