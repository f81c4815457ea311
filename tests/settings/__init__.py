"""The settings, the verticals and the files they ship in."""
